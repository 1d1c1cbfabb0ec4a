"""Which faults happen, and when: drawn from the seed and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What can go wrong at any moment."""

    CUT = "link-cut"  # every connection ends, none is made
    STILL = "link-still"  # connections stay open, and nothing passes
    WATCHER = "watcher-killed"
    FOLLOWER = "follower-killed"  # the standby's process, and then what it had started, as systemd does it
    COPYING = "copying-killed"  # one rsync or zfs, at either end
    DAEMON = "daemon-killed"  # the source's rsync daemon with its children
    FULL = "disk-full"  # of the copy
    CLOCK = "clock-jump"  # of the watcher, or of the follower


OFFSETS = (-7200, -3600, -60, -2, 2, 60, 3600, 7200)


@dataclass(frozen=True, slots=True)
class Fault:
    """at: after so many operations. lasts: so many operations, 0 for a moment. offset: seconds, of a clock. whose."""

    at: int
    kind: Kind
    lasts: int = 0
    offset: int = 0
    whose: str = ""

    def __str__(self) -> str:
        more = f" {self.whose} {self.offset:+d} s" if self.kind is Kind.CLOCK else ""
        return f"{self.at} {self.kind}{more}" + (f" +{self.lasts}" if self.lasts else "")


def draw(seed: int, operations: int) -> tuple[Fault, ...]:
    """Pure. About one in every 60 operations, each kind at least once."""
    chance = random.Random(f"faults {seed}")
    kinds = list(Kind)
    chance.shuffle(kinds)
    wanted = max(len(kinds), operations // 60)
    drawn = [*kinds, *(chance.choice(list(Kind)) for _ in range(wanted - len(kinds)))]
    return tuple(sorted((_fault(chance, kind, operations) for kind in drawn), key=lambda one: one.at))


def _fault(chance: random.Random, kind: Kind, operations: int) -> Fault:
    at = chance.randrange(operations)
    if kind in (Kind.CUT, Kind.STILL, Kind.FULL):
        return Fault(at, kind, lasts=chance.randrange(10, 60))
    if kind is Kind.CLOCK:
        whose, offset = chance.choice(("watcher", "follower")), chance.choice(OFFSETS)
        return Fault(at, kind, lasts=chance.randrange(20, 150), offset=offset, whose=whose)
    return Fault(at, kind)


def edges(faults: tuple[Fault, ...]) -> Iterator[tuple[int, Fault, bool]]:
    """(operation, fault, whether it begins), in order."""
    found = [(one.at, one, True) for one in faults] + [(one.at + one.lasts, one, False) for one in faults if one.lasts]
    yield from sorted(found, key=lambda each: each[0])
