"""Open what lies beneath a folder, and nothing else: openat2(2), so that no link in a path ever leads out of it.

A path here is raw bytes, relative to the folder; ``b""`` is the folder itself. Between two looks somebody may replace a
folder by a link: the kernel then refuses, where a check in advance would have been too early.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True)
_OPENAT2 = 437  # the same on every architecture (syscalls(2))
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
NAME_BYTES, PATH_BYTES = 255, 4095  # limits.h; a longer relative path cannot be opened in one call
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)  # nothing is there that belongs to the folder


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(folder: int, path: bytes, flags: int) -> int:
    """A descriptor of ``path`` beneath ``folder``; no link is followed anywhere. Raises OSError."""
    how = _How(flags | os.O_CLOEXEC, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    while True:
        handle: int = _LIBC.syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_int(folder), path or b".", ctypes.byref(how), ctypes.sizeof(how)
        )
        if handle >= 0:
            return handle
        number = ctypes.get_errno()
        if number not in (errno.EINTR, errno.EAGAIN):  # EAGAIN: a rename raced with the look (openat2(2))
            raise OSError(number, os.strerror(number), os.fsdecode(path))


def available() -> bool:
    """Whether this kernel has openat2, and lets us call it."""
    try:
        os.close(openat2(-100, b".", os.O_PATH))  # -100: AT_FDCWD
    except OSError:
        return False
    return True


def valid(path: bytes) -> bool:
    """Pure: whether it names something beneath a folder by plain names, and the kernel could take it."""
    if not path:
        return True
    return len(path) <= PATH_BYTES and b"\0" not in path and all(valid_name(name) for name in path.split(b"/"))


def valid_name(name: bytes) -> bool:
    """Pure: whether it is the name of one entry of a folder."""
    return 0 < len(name) <= NAME_BYTES and name not in (b".", b"..") and b"/" not in name and b"\0" not in name


def split(path: bytes) -> tuple[bytes, bytes]:
    """Pure: its folder and its name in it."""
    parent, _, name = path.rpartition(b"/")
    return parent, name


class Root:
    """The folder, held open: whatever is mounted or renamed over its path later is not reached."""

    def __init__(self, folder: bytes | str) -> None:
        """Raises OSError where it is no folder."""
        self.handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Root:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.handle)

    @contextlib.contextmanager
    def opened(self, path: bytes, flags: int = os.O_PATH | os.O_NOFOLLOW) -> Iterator[int]:
        """What lies at ``path``; with O_PATH a link itself. Raises OSError."""
        handle = openat2(self.handle, path, flags)
        try:
            yield handle
        finally:
            os.close(handle)

    def folder(self, path: bytes) -> int:
        """A descriptor of the folder at ``path``, to work in; the caller closes it. Raises OSError."""
        return openat2(self.handle, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
