"""The process that works on versions: many system calls, as root, beside the agent and not in it.

The agent cannot do this itself, not even in a thread: it is another user for moments (``database/connect.py``), has to
answer within milliseconds, and must be able to end what it began at once. Orders come as one JSON line on standard
input, events go as JSON lines to standard output. It dies with whoever started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Event, Progress, Result, to_line
from secondsite.files.store import KEEPING
from secondsite.files.versions import facts, look, offer, prune, restore
from secondsite.files.versions.beside import Beside
from secondsite.files.versions.place import Folder
from secondsite.files.versions.version import Keeping
from secondsite.files.zfs.versions import Snapshots

PROGRESS_SECONDS = 0.5
_SET_DEATH_SIGNAL = 1  # prctl(2), PR_SET_PDEATHSIG
Act = Callable[[Keeping, Folder, Mapping[str, Any], Callable[[Event], None]], dict[str, Any]]
ACTS: Mapping[str, Act] = {
    "keep": prune.keep,
    "list": look.listed,
    "diff": look.diff,
    "restore": restore.restore,
    "offer": offer.offer,
    "withdraw": offer.withdraw,
    "facts": facts.facts,
}


def keeping_of(folder: Folder, order: Mapping[str, Any]) -> Keeping:
    """How versions of this set are kept: by ZFS where the order names its dataset."""
    return Snapshots(folder, order["zfs"]) if order.get("zfs") is not None else Beside(folder)


def main(order: Mapping[str, Any]) -> int:
    """Carry out one order: {act, set, folder, ...}. What goes wrong in the world is a Result too."""
    _prepare()
    folder = Folder(order["set"], PurePath(order["folder"]))
    try:
        result = Result(ACTS[order["act"]](keeping_of(folder, order), folder, order, Thinned()))
    except SecondsiteError as error:
        result = Result(error.as_json(), int(error.exit))
    except OSError as failing:
        told = FinalError(
            f"{failing.strerror or failing}: {failing.filename or folder.path}",
            slug="versions-failed",
            step=f"versions of {folder.name}",
            hint="look at the file system that it names, then run it again",
        )
        result = Result(told.as_json(), int(told.exit))
    print_event(result)
    return 0


class Thinned:
    """Passes on what is said, but no more progress than somebody can read."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() - self._last < PROGRESS_SECONDS:
                return
            self._last = time.monotonic()
        print_event(event)


def print_event(event: Event) -> None:
    """One line for whoever started this."""
    print(to_line(event).encode("utf-8", "backslashreplace").decode(), flush=True)


def _prepare() -> None:
    """Known by its name, gone with its parent, last in the queue for the processor, room for deep folders."""
    Path("/proc/self/comm").write_text(KEEPING)
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    os.nice(10)
    with contextlib.suppress(ValueError, OSError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.stdin.readline())))
