"""Locks between runs of the lab, by flock, so that a killed run can never leave one behind."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secondsite_lab.errors import LabError


def _acquire(path: Path) -> int | None:
    """A descriptor that holds the lock, or None when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # the last lab took its folder away just now
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder before us may have removed the file: then this lock guards nothing.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock at `path` now."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextmanager
def held(
    path: Path, what: str, *, timeout: float = 120, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock at `path`; tell once that we wait; give up after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    told = False
    while (descriptor := _acquire(path)) is None:
        if time.monotonic() > deadline:
            raise LabError(f"another secondsite-lab is busy with {what}", f"wait for it, or end it; lock: {path}")
        if not told and waiting is not None:
            waiting(f"waiting for another secondsite-lab that is busy with {what}")
            told = True
        time.sleep(0.02)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
