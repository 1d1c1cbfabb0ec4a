"""The journal's file: one line after the other, each with a checksum, so that a torn end is known as one."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

EPOCH, DIRTY, TREE, ACKNOWLEDGED = 1, 2, 3, 4
MAGIC = b"secondsite dirty 1\n"
_SUM = struct.Struct("<I")
_LINE = struct.Struct("<BQdH")


class Line(NamedTuple):
    """kind: one of the four above. path: the name of the epoch where the kind is that."""

    kind: int
    seq: int
    at: float
    path: bytes


def packed(line: Line) -> bytes:
    """As it stands in the file."""
    body = _LINE.pack(line.kind, line.seq, line.at, len(line.path)) + line.path
    return _SUM.pack(zlib.crc32(body)) + body


def size_of(lines: Iterable[Line]) -> int:
    """Bytes that ``lines`` take."""
    return len(MAGIC) + sum(_SUM.size + _LINE.size + len(line.path) for line in lines)


def read(file: Path) -> list[Line] | None:
    """Every line; None where there is no such file, or where any of it is torn or spoilt."""
    try:
        text = file.read_bytes()
    except OSError:
        return None
    found, place = [], len(MAGIC)
    if not text.startswith(MAGIC):
        return None
    while place < len(text):
        start = place + _SUM.size
        if start + _LINE.size > len(text):
            return None
        kind, seq, at, length = _LINE.unpack_from(text, start)
        end = start + _LINE.size + length
        if end > len(text) or zlib.crc32(text[start:end]) != _SUM.unpack_from(text, place)[0]:
            return None
        found.append(Line(kind, seq, at, text[end - length : end]))
        place = end
    return found if found and found[0].kind == EPOCH else None


def written_anew(file: Path, lines: Iterable[Line]) -> int:
    """Replace the file by ``lines`` in one step; a descriptor that appends to it. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f"{file.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        content = memoryview(MAGIC + b"".join(map(packed, lines)))
        while content:
            content = content[os.write(handle, content) :]
        fresh.replace(file)
    except BaseException:
        os.close(handle)
        raise
    return handle
