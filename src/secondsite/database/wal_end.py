"""Where the WAL of a timeline ends, and whether it does: behind an end nothing of that timeline stands.

``pg_waldump`` says the same of an end and of a damaged place: that what follows is no record. A file that was
allocated and never written is zeros, and one that was recycled has the addresses of long ago in its page headers. So a
page behind that place with the timeline and the address that belong there was written, and what lies before it is
damaged.
Formats: xlog_internal.h (XLogPageHeaderData), xlogrecord.h (XLogRecord).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from secondsite.database.lsn import to_int

PAGE_BYTES = 8192
_HEADER = struct.Struct("=HHIQI")  # magic, info, timeline, address, bytes left of a record that began before
_SHORT, _LONG = 24, 40  # of a page, and of the first one of a file
_MAGIC = (0xD0, 0xD1)  # its high byte, of every version
_CONTINUED = 0x0001  # XLP_FIRST_IS_CONTRECORD
_RECORD = struct.Struct("=IIQBB")  # length, transaction, the record before, info, resource manager
_SWITCH = (0x40, 0)  # XLOG_SWITCH of RM_XLOG_ID: the next record is in the next file
_LAST_READ = re.compile(r"error in WAL record at ([0-9A-F]+/[0-9A-F]+)")
_NONE_READ = re.compile(r"could not find a valid record after ([0-9A-F]+/[0-9A-F]+)")


@dataclass(frozen=True, slots=True)
class Files:
    """A timeline's WAL files in a folder."""

    folder: Path
    timeline: int
    segment_bytes: int


def says_where(stderr: str) -> bool:
    """Pure: pg_waldump has come to a place behind which it finds no record; else something kept it from reading."""
    return bool(_LAST_READ.search(stderr) or _NONE_READ.search(stderr))


def goes_on(wal: Files, stderr: str) -> bool:
    """Whether WAL was written behind the place where pg_waldump found no further record, or where it does not say so:
    then not all of it was read. Raises OSError."""
    last, none = _LAST_READ.search(stderr), _NONE_READ.search(stderr)
    if last:
        at = _behind(wal, to_int(last[1]))
        return at is None or _written_behind(wal, at)
    return none is None or _written_behind(wal, to_int(none[1]))


def segment(timeline: int, position: int, segment_bytes: int) -> str:
    """Pure: the name of the WAL file that holds ``position`` (manual 30.6)."""
    number, each = position // segment_bytes, 2**32 // segment_bytes
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def _written_behind(wal: Files, at: int) -> bool:
    """``at``: where the first record begins that is none. One that a crash has cut off goes on in the pages behind, and
    those are its own."""
    if at % PAGE_BYTES == 0:
        at += _header_bytes(wal, at)
    own = at - at % PAGE_BYTES
    length = _length(wal, at)
    begins = next(_pages(wal, own + PAGE_BYTES), None)
    if begins is None:
        return length is not None and _follows(wal, at, length)
    address, continued, left = begins
    if length is None or address != own + PAGE_BYTES or not continued or left != length - (own + PAGE_BYTES - at):
        return True
    end = _advance(wal, at, length)
    return any(address >= end for address, _, _ in _pages(wal, own + PAGE_BYTES)) or _follows(wal, at, length)


def _pages(wal: Files, begin: int) -> Iterator[tuple[int, bool, int]]:
    """Each page from ``begin`` on that was written in its place: address, whether it begins with the rest of a record,
    and how much of it is left."""
    first = segment(wal.timeline, begin, wal.segment_bytes)
    each = 2**32 // wal.segment_bytes
    for path in sorted(wal.folder.glob(f"{first[:8]}*")):
        if not re.fullmatch(r"[0-9A-F]{24}", path.name) or path.name < first:
            continue
        start = (int(path.name[8:16], 16) * each + int(path.name[16:], 16)) * wal.segment_bytes
        with path.open("rb") as file:
            for address in range(max(start, begin), start + wal.segment_bytes, PAGE_BYTES):
                file.seek(address - start)
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    break
                magic, info, timeline, told, left = _HEADER.unpack(header)
                if magic >> 8 in _MAGIC and timeline == wal.timeline and told == address:
                    yield address, bool(info & _CONTINUED), left


def _behind(wal: Files, at: int) -> int | None:
    """Where the record behind the one at ``at`` begins; None where that cannot be read."""
    head = _read(wal, at, _RECORD.size)
    if len(head) < _RECORD.size:
        return None
    length, _, _, info, manager = _RECORD.unpack(head)
    if (info & 0xF0, manager) == _SWITCH:
        return (at // wal.segment_bytes + 1) * wal.segment_bytes + _LONG
    return _advance(wal, at, length)


def _length(wal: Files, at: int) -> int | None:
    """What the record at ``at`` says of its length, which stands on its first page; None where it is no length."""
    head = _read(wal, at, 4)
    length = int.from_bytes(head, "little") if len(head) == 4 else 0
    return length if 24 <= length < 2**30 else None


def _follows(wal: Files, at: int, length: int) -> bool:
    """Whether a record stands behind the one at ``at`` that names it as the one before."""
    head = _read(wal, _advance(wal, at, length), _RECORD.size)
    return len(head) == _RECORD.size and _RECORD.unpack(head)[2] == at


def _advance(wal: Files, at: int, count: int) -> int:
    """The position ``count`` bytes of content further, rounded up as records are; page headers are no content."""
    count += -count % 8
    while count >= (room := PAGE_BYTES - at % PAGE_BYTES):
        count, at = count - room, at + room
        at += _header_bytes(wal, at)
    return at + count


def _read(wal: Files, at: int, count: int) -> bytes:
    """``count`` bytes of content; fewer where there are none."""
    found = b""
    while len(found) < count:
        if at % PAGE_BYTES == 0:
            at += _header_bytes(wal, at)
        room = min(PAGE_BYTES - at % PAGE_BYTES, count - len(found))
        try:
            with (wal.folder / segment(wal.timeline, at, wal.segment_bytes)).open("rb") as file:
                file.seek(at % wal.segment_bytes)
                piece = file.read(room)
        except FileNotFoundError:
            piece = b""
        found, at = found + piece, at + room
        if len(piece) < room:
            break
    return found


def _header_bytes(wal: Files, address: int) -> int:
    return _LONG if address % wal.segment_bytes == 0 else _SHORT
