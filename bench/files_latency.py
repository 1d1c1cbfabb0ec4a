"""One change among 50,000 files: until it is visible and complete at the standby, beside lsyncd.

A change is a new file or a rewritten one, at odd moments. Counted is from before it is written until the copy holds
every byte of it, looked at every two milliseconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

from bench.file_sites import Folders, Sites, run
from bench.results import Metric, Series

CHANGES = 30  # a round
CHANGE_BYTES = 4096
LOOK_SECONDS = 0.002
LOST_SECONDS = 60.0
MEDIAN_TARGET, LATE_TARGET = 0.15, 0.5
LATE = 0.95


def measure(both: Sites, rounds: int, scale: int) -> list[Metric]:
    """The two take turns, round after round."""
    changes = max(3, CHANGES * scale // 100)
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with both.lsyncd_runs():
        for number in range(rounds):
            ours.append(_round(both.ours, number, changes))
            theirs.append(_round(both.lsyncd, number, changes))
            print(
                f"latency, round {number + 1}: secondsite {quantile(ours[-1], 0.5):.3f} s, "
                f"lsyncd {quantile(theirs[-1], 0.5):.3f} s",
                flush=True,
            )
    return metrics(ours, theirs)


def metrics(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> list[Metric]:
    """Pure: over all changes, the lowest and highest of the rounds beside it."""
    found = []
    for words, share, target in (("median", 0.5, MEDIAN_TARGET), ("95 of 100", LATE, LATE_TARGET)):
        name = f"change to its copy, visible and complete, {words}"
        mine, other = (over_rounds(label, values, share) for label, values in ((name, ours), ("lsyncd", theirs)))
        found.append(Metric(name, "s", mine, target, other, alone=True))
    return found


def over_rounds(name: str, rounds: Sequence[Sequence[float]], share: float) -> Series:
    """Pure: a quantile of all values, and the lowest and highest that a round had of it."""
    each = [quantile(one, share) for one in rounds]
    whole = quantile([value for one in rounds for value in one], share)
    return Series(name, round(whole, 4), round(min(each), 4), round(max(each), 4))


def quantile(values: Sequence[float], share: float) -> float:
    """Pure: the smallest value that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def _round(folders: Folders, number: int, changes: int) -> list[float]:
    odd = random.Random(number)
    return [_change(folders, odd, f"{number}-{each}", new=each % 2 == 0) for each in range(changes)]


def _change(folders: Folders, odd: random.Random, label: str, *, new: bool) -> float:
    time.sleep(odd.uniform(0.2, 0.5))
    source = folders.source / f"changed-{label}" if new else odd.choice(_old(folders.source))
    content = odd.randbytes(CHANGE_BYTES)
    copy = folders.copy / source.relative_to(folders.source)
    began = time.monotonic()
    source.write_bytes(content)
    while not _holds(copy, content):
        if time.monotonic() - began > LOST_SECONDS:
            raise SystemExit(f"{folders.name}: {source.name} has not arrived after {LOST_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began


def _old(source: Path) -> list[Path]:
    return [file for place in sorted((source / "old").iterdir())[:20] for file in sorted(place.iterdir())]


def _holds(copy: Path, content: bytes) -> bool:
    try:
        return copy.read_bytes() == content
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    run("files_latency", measure, __doc__, rounds=3)
