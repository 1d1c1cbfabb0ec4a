"""The kernel's older words (man 7 inotify), by ctypes: one watch a folder, where fanotify cannot mark a file system."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
UNMOUNT, OVERFLOW, IGNORED, ISDIR = 0x2000, 0x4000, 0x8000, 0x40000000
_MODIFY, _ATTRIB, _CLOSE_WRITE, _ONLYDIR, _EXCL_UNLINK = 0x2, 0x4, 0x8, 0x01000000, 0x04000000
_WATCHED = _MODIFY | _ATTRIB | _CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | _ONLYDIR | _EXCL_UNLINK

_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, bytes of the name
_LIBC = ctypes.CDLL(None, use_errno=True)


class Told(NamedTuple):
    """Something happened to ``name`` in the folder of ``watch``; an empty name is the folder itself."""

    watch: int
    mask: int
    name: bytes


def open_queue() -> int:
    """A descriptor to read from. Raises OSError: EMFILE where fs.inotify.max_user_instances is reached."""
    handle: int = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if handle < 0:
        raise _failed("inotify_init1")
    return handle


def watch(queue: int, folder: int) -> int:
    """The number of the watch on an open folder; the same again for one that is watched already. Raises OSError:
    ENOSPC where fs.inotify.max_user_watches is reached."""
    number: int = _LIBC.inotify_add_watch(queue, b"/proc/self/fd/%d" % folder, _WATCHED)
    if number < 0:
        raise _failed("inotify_add_watch")
    return number


def forget(queue: int, number: int) -> None:
    """Watch no longer; one that is gone already is no error."""
    _LIBC.inotify_rm_watch(queue, number)


def told(text: bytes) -> Iterator[Told]:
    """The events in what was read."""
    place = 0
    while place < len(text):
        number, mask, _, length = _EVENT.unpack_from(text, place)
        place += _EVENT.size
        yield Told(number, mask, text[place : place + length].rstrip(b"\0"))
        place += length


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
