"""Copy one file's content between descriptors: shared blocks where the file system can, else its data and its holes."""

from __future__ import annotations

import errno
import os

from secondsite.files.versions import btrfs

CHUNK = 8 * 1024 * 1024
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def copy_file(source: int, name: str, target: int, as_name: str) -> int:
    """Copy ``name`` of the open folder ``source`` to the new ``as_name`` in ``target``; the bytes that were written,
    0 where the blocks are shared. Raises OSError."""
    old = os.open(name, OLD_FILE, dir_fd=source)
    try:
        new = os.open(as_name, NEW_FILE, 0o600, dir_fd=target)
        try:
            if btrfs.clone(old, new):
                return 0
            return _data(old, new)
        finally:
            os.close(new)
    finally:
        os.close(old)


def _data(old: int, new: int) -> int:
    """Only what is data is written, so that a hole stays one (lseek(2), SEEK_DATA)."""
    size, place, written = os.fstat(old).st_size, 0, 0
    os.ftruncate(new, size)
    while place < size:
        try:
            start = os.lseek(old, place, os.SEEK_DATA)
        except OSError as none_left:
            if none_left.errno == errno.ENXIO:
                return written
            raise
        place = end = os.lseek(old, start, os.SEEK_HOLE)
        written += end - start
        _extent(old, new, start, end)
    return written


def _extent(old: int, new: int, start: int, end: int) -> None:
    os.lseek(old, start, os.SEEK_SET)
    os.lseek(new, start, os.SEEK_SET)
    left = end - start
    while left > 0:
        moved = os.sendfile(new, old, None, min(left, CHUNK))
        if moved == 0:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        left -= moved
