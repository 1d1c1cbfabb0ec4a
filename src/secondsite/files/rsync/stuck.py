"""At the source: end a transfer that hangs where it opens what is no file any more.

rsync's sender opens each file of its list when that one's turn comes. Where a FIFO has taken the file's name meanwhile,
open(2) waits for somebody who writes into it (fifo(7)), and no time limit of rsync's runs there: the standby gives up
after 30 s, and the process stays for ever, and with it one of the few connections that the daemon allows.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 2.0  # between two looks; who has not moved from one to the other is stuck
_PROC = Path("/proc")
# open, openat, openat2 by machine (syscalls(2)); elsewhere nobody is ever taken for stuck.
_OPENING: Mapping[str, frozenset[str]] = {
    "x86_64": frozenset({"2", "257", "437"}),
    "aarch64": frozenset({"56", "437"}),
}


@dataclass(frozen=True, slots=True)
class Opening:
    """A process that sleeps in open(2). started, switches: since when it exists, and how often it has given up the
    processor of itself: as long as both are the same, it is the same process in the same sleep."""

    pid: int
    started: str
    switches: str


class Stuck:
    """Looks again and again. daemon: the file with the daemon's process id."""

    def __init__(self, daemon: Path, kill: Callable[[int, int], None] = os.kill) -> None:
        self._daemon, self._kill = daemon, kill
        self._seen: frozenset[Opening] = frozenset()

    async def look(self) -> None:
        """End who has been in the same open(2) since the last look. Its connection ends with it, and the standby, which
        hears of that at once, begins again. A disk that is slow is waited for: that sleep is another one."""
        now = opening(self._daemon)
        for one in now & self._seen:
            try:
                self._kill(one.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            print(f"ended a transfer of files that waited for a writer of a FIFO (process {one.pid})", flush=True)
        self._seen = now


def opening(daemon: Path) -> frozenset[Opening]:
    """Those of the daemon's children that sleep in open(2) now; none where it does not run."""
    calls = _OPENING.get(os.uname().machine, frozenset())
    try:
        parent = daemon.read_text().strip()
        children = (_PROC / parent / "task" / parent / "children").read_text().split()
    except OSError:
        return frozenset()
    return frozenset(found for pid in children if (found := _opening(pid, calls)) is not None)


def _opening(pid: str, calls: frozenset[str]) -> Opening | None:
    place = _PROC / pid
    try:
        call = (place / "syscall").read_text().partition(" ")[0]
        status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
        started = (place / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None  # it has ended
    sleeps = status["State"].startswith("S") and status["Name"] == "rsync"
    return Opening(int(pid), started, status["voluntary_ctxt_switches"]) if sleeps and call in calls else None
