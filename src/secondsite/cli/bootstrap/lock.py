"""One apply at a time on a host: a flock that the kernel gives back however the holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from secondsite.clock import Clock, to_text
from secondsite.errors import FinalError
from secondsite.spec import paths

LOCK = paths.RUN / "apply.lock"


@contextlib.contextmanager
def hold(who: str, clock: Clock, path: Path = LOCK) -> Iterator[None]:
    """Hold the lock for the length of the block. Raises FinalError (``apply-running``) where it is taken."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise FinalError(
                f"another apply works on this host: {_holder(handle)}",
                slug="apply-running",
                step="take the apply lock",
                hint="wait until it ends; ending its secondsite process frees this host within seconds",
            ) from taken
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"who": who, "since": to_text(clock.now()), "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return f"by {told['who']}, since {told['since']} (process {told['pid']})"
    except (ValueError, KeyError, TypeError):
        return "its lock file does not say whose"
