"""The kernel's own words (man 7 fanotify, man 2 fanotify_init, fanotify_mark, open_by_handle_at), by ctypes.

One mark covers a whole file system, so watching begins at once whatever the number of folders, and a folder that is
made now is watched before anybody can write into it. Needs CAP_SYS_ADMIN, and CAP_DAC_READ_SEARCH to turn a handle into
a path; Linux 5.9 or newer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from secondsite.files.watch import queue

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
OVERFLOW, ONDIR = 0x4000, 0x40000000
WATCHED = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONDIR

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x1, 0x2, 0x10, 0x20
_REPORT_DIR_FID, _REPORT_NAME = 0x400, 0x800
_MARK_ADD, _MARK_REMOVE, _MARK_FILESYSTEM = 0x1, 0x2, 0x100
_INFO_DIRECTORY_AND_NAME = 2  # FAN_EVENT_INFO_TYPE_DFID_NAME
_AT_FDCWD = -100
_MOST_OF_HANDLE = 128  # MAX_HANDLE_SZ

_EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, metadata length, mask, fd, pid
_INFO = struct.Struct("=BBH8sI")  # type, padding, length, file system, bytes of the handle
_HANDLE_AT = _INFO.size - 4  # the handle as open_by_handle_at wants it begins with its length

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


class Told(NamedTuple):
    """Something happened to ``name`` in the folder of ``handle``; name ``b"."`` is the folder itself.

    file_system: its identifier (statfs(2), f_fsid). handle: struct file_handle. Both are empty at an overflow.
    """

    mask: int
    file_system: bytes
    handle: bytes
    name: bytes


def open_group() -> int:
    """A descriptor to read from, without a limit to its queue. Raises OSError: EPERM without CAP_SYS_ADMIN, EINVAL or
    ENOSYS where the kernel is too old."""
    flags = _CLOEXEC | _NONBLOCK | _UNLIMITED_QUEUE | _UNLIMITED_MARKS | _REPORT_DIR_FID | _REPORT_NAME
    handle: int = _LIBC.fanotify_init(flags, os.O_RDONLY | os.O_LARGEFILE | os.O_CLOEXEC)
    if handle < 0:
        raise _failed("fanotify_init")
    return handle


def mark(group: int, path: bytes) -> None:
    """Watch the whole file system that ``path`` is on. Raises OSError: EXDEV on a btrfs subvolume, EOPNOTSUPP on
    overlayfs, ENODEV where a file system has no identifier."""
    if _LIBC.fanotify_mark(group, _MARK_ADD | _MARK_FILESYSTEM, WATCHED, _AT_FDCWD, path) != 0:
        raise _failed(os.fsdecode(path))


def unmark(group: int, path: bytes) -> None:
    """Watch it no longer. Raises OSError."""
    if _LIBC.fanotify_mark(group, _MARK_REMOVE | _MARK_FILESYSTEM, WATCHED, _AT_FDCWD, path) != 0:
        raise _failed(os.fsdecode(path))


def file_system_of(path: bytes) -> bytes:
    """The identifier that stands in the events of the file system ``path`` is on. Raises OSError."""
    return struct.pack("=Q", os.statvfs(path).f_fsid)


def queued(group: int) -> int:
    """How many events can be read now. The kernel counts of each only the part that all have (FIONREAD)."""
    return queue.waiting(group) // _EVENT.size


def told(text: bytes) -> Iterator[Told]:
    """The events in what was read."""
    place = 0
    while place < len(text):
        length, _, _, head, mask, _, _ = _EVENT.unpack_from(text, place)
        if mask & OVERFLOW:
            yield Told(mask, b"", b"", b"")
        elif length > head:
            yield _named(text, place + head, place + length, mask)
        place += length


def _named(text: bytes, place: int, end: int, mask: int) -> Told:
    """The event's folder and name. Asked for no other kind of information, the kernel gives no other."""
    kind, _, length, file_system, size = _INFO.unpack_from(text, place)
    if kind != _INFO_DIRECTORY_AND_NAME:
        return Told(mask, file_system, b"", b"")
    handle = place + _HANDLE_AT
    name = handle + 8 + size
    stop = text.index(b"\0", name, min(place + length, end))
    return Told(mask, file_system, text[handle:name], text[name:stop])


def handle_of(path: bytes) -> bytes:
    """A name for the folder that no other one ever has, also not one that gets its inode; empty where its file system
    gives none. Raises OSError."""
    handle, mount = (
        ctypes.create_string_buffer(struct.pack("=Ii", _MOST_OF_HANDLE, 0), 8 + _MOST_OF_HANDLE),
        ctypes.c_int(),
    )
    if _LIBC.name_to_handle_at(_AT_FDCWD, path, handle, ctypes.byref(mount), 0) != 0:
        if ctypes.get_errno() in (errno.EOPNOTSUPP, errno.EOVERFLOW, errno.EPERM, errno.ENOSYS):
            return b""
        raise _failed(os.fsdecode(path))
    return handle.raw[: 8 + struct.unpack_from("=I", handle.raw)[0]]


def marks(group: int) -> tuple[str, ...]:
    """The marks that the kernel still has; one goes with its file system (proc(5), fdinfo). Raises OSError."""
    with open(f"/proc/self/fdinfo/{group}", encoding="ascii") as told:  # noqa: PTH123 - each second
        return tuple(sorted(line for line in told if line.startswith("fanotify sdev:")))


def open_folder(mount: int, handle: bytes) -> int:
    """An O_PATH descriptor of the folder. mount: any descriptor on its file system. Raises OSError: ESTALE where the
    folder is gone."""
    found: int = _LIBC.open_by_handle_at(mount, handle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if found < 0:
        raise _failed("open_by_handle_at")
    return found


def path_of(folder: int) -> tuple[bytes, bool] | None:
    """Where an open folder is now, and whether that is the folder itself: of one whose path is too long for the kernel
    to tell (4096 bytes), it is the nearest folder above that has one. None: it is gone. Raises OSError."""
    here, own = os.dup(folder), True
    try:
        while True:
            try:
                found = os.readlink(b"/proc/self/fd/%d" % here)  # noqa: PTH115 - bytes
            except OSError as wrong:
                if wrong.errno != errno.ENAMETOOLONG:
                    raise
                above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here, own = above, False
                continue
            return (found, own) if os.fstat(here).st_nlink else None
    finally:
        os.close(here)


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
