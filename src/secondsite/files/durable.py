"""Make a whole pull last with one call, whatever the number of files (syncfs(2))."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)


async def sync_file_system(folder: Path) -> None:
    """Write everything of ``folder``'s file system to its disk. Raises OSError where the disk says it could not.

    The folder is opened here and not in the thread: elsewhere this process may be another user for a moment.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        number = await asyncio.to_thread(syncfs, handle)
    finally:
        os.close(handle)
    if number:
        raise OSError(number, os.strerror(number), str(folder))


def syncfs(handle: int) -> int:
    """Write the file system of the open folder to its disk: the error number, 0 for none."""
    return ctypes.get_errno() if _LIBC.syncfs(handle) != 0 else 0
