"""The head of a stream, looked at before `zfs receive` gets a byte of it. Pure.

A package (`zfs send -R`, `-p`) may set properties, mount points among them, and make datasets of any name below the
target. We never ask for one, so one that comes is not from us. Layout: dmu_replay_record with drr_begin (zfs_ioctl.h).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BYTES = 312
_MAGIC = 0x2F5BACBAC
_BEGIN, _SUBSTREAM, _FILE_SYSTEM = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Head:
    """to: guid of the snapshot it brings. base: guid of what it builds on, 0 for none."""

    to: int
    base: int


def head(raw: bytes) -> Head | None:
    """The head; None where it is not that of one plain stream."""
    if len(raw) < BYTES:
        return None
    for order in "<>":
        kind, _, magic, version = struct.unpack_from(f"{order}IIQQ", raw)
        if magic == _MAGIC and kind == _BEGIN:
            what, _, to, base = struct.unpack_from(f"{order}IIQQ", raw, 32)
            return Head(to, base) if version & 3 == _SUBSTREAM and what == _FILE_SYSTEM else None
    return None
