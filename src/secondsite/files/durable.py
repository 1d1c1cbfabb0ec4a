"""Make a whole pull last with one call a file system, whatever the number of files (syncfs(2))."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from secondsite.files.stream.exclude import Excludes, understood
from secondsite.files.watch.place import inside, mounts_now

_LIBC = ctypes.CDLL(None, use_errno=True)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)  # unmounted since it was listed, or no folder is mounted there


async def sync_file_systems(folder: Path, exclude: Sequence[str] = ()) -> None:
    """Write everything of ``folder``'s file system to its disk, and of those that are mounted inside it: what came may
    lie in any of them. exclude: the set's patterns; what they leave out is let be. Raises OSError where a disk says it
    could not.

    The folders are opened here and not in the thread: elsewhere this process may be another user for a moment.
    """
    handles = {os.fspath(folder): os.open(folder, os.O_RDONLY | os.O_DIRECTORY)}
    try:
        for each in _inside(os.path.realpath(os.fsencode(folder)), exclude):
            try:
                handles[os.fsdecode(each)] = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError as failed:
                if failed.errno not in _GONE:
                    raise
        for place, handle in handles.items():
            number = await asyncio.to_thread(syncfs, handle)
            if number:
                raise OSError(number, os.strerror(number), place)
    finally:
        for handle in handles.values():
            os.close(handle)


def _inside(folder: bytes, exclude: Sequence[str]) -> list[bytes]:
    found = mounts_now(folder)
    excludes = Excludes(exclude if found and understood(exclude) else ())
    return [each for each in found if not excludes.excluded(inside(each, folder) or b"", folder=True)]


def syncfs(handle: int) -> int:
    """Write the file system of the open folder to its disk: the error number, 0 for none."""
    return ctypes.get_errno() if _LIBC.syncfs(handle) != 0 else 0
