"""One procedure at a time on a host: an flock that the kernel gives back however the holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from secondsite.errors import FinalError


@contextlib.contextmanager
def hold(path: Path, what: str, since: str) -> Iterator[None]:
    """Hold the lock at ``path`` while ``what`` runs. Raises FinalError (``procedure-running``) where it is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise FinalError(
                f"{_holder(path)} is running on this host",
                slug="procedure-running",
                hint="wait for it, or watch it with: secondsite status --watch",
            ) from taken
        os.truncate(file, 0)
        os.pwrite(file, json.dumps({"what": what, "since": since, "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(file)


def holder(path: Path) -> str | None:
    """Who holds it now, in words; None where it is free."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    finally:
        os.close(file)
    return None


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
        return f"{told['what']} (since {told['since']}, process {told['pid']})"
    except (OSError, ValueError, KeyError):
        return "another procedure"
