"""Log sequence numbers (PostgreSQL manual 8.20): "16/B374D848" is 64 bits in two halves."""

from __future__ import annotations

SEGMENT_BYTES = 16 * 1024 * 1024


def to_int(text: str) -> int:
    """Bytes of WAL since the beginning. Raises ValueError on text that is no LSN."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} is no LSN")
    return (int(high, 16) << 32) | int(low, 16)


def to_text(lsn: int) -> str:
    """The inverse of ``to_int``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
