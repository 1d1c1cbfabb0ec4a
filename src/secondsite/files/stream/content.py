"""What a file holds: compared with an entry without reading holes, and written whole."""

from __future__ import annotations

import errno
import os

from secondsite.files.stream.entry import Entry

READ_BYTES = 262_144


def holds(handle: int, entry: Entry) -> bool:
    """Whether a file of the right size holds that content, and nothing but zeros elsewhere."""
    at = end = 0
    for offset, length in (*(entry.parts or ()), (entry.size, 0)):
        if not _zeros(handle, end, offset) or os.pread(handle, length, offset) != entry.content[at : at + length]:
            return False
        at, end = at + length, offset + length
    return True


def _zeros(handle: int, begin: int, end: int) -> bool:
    """Holes are not read: a file may have terabytes of them (lseek(2))."""
    while begin < end:
        try:
            begin = os.lseek(handle, begin, os.SEEK_DATA)
        except OSError as failed:
            return failed.errno == errno.ENXIO
        if begin >= end:
            return True
        data = os.pread(handle, min(READ_BYTES, end - begin), begin)
        if not data or data.count(0) != len(data):
            return False
        begin += len(data)
    return True


def write_all(handle: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written
