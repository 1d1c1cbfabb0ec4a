"""100,000 new small files: from the first one written until both ends are identical, beside lsyncd.

The writer is not held back; both begin to copy while it still writes. Identical is: every name, content, mode, owner
and time of the files.
"""

from __future__ import annotations

import secrets
import time

from bench.file_sites import EQUAL_SECONDS, Folders, Sites, count, equal, fill, run, until
from bench.results import Metric, Series

NEW = 100_000
TARGET_RATIO = 0.8


def measure(both: Sites, rounds: int, scale: int) -> list[Metric]:
    """The two take turns; each round has a new folder."""
    files = NEW * scale // 100
    ours: list[float] = []
    theirs: list[float] = []
    with both.lsyncd_runs():
        for number in range(rounds):
            order = [(both.ours, ours), (both.lsyncd, theirs)]
            for folders, took in order if number % 2 == 0 else reversed(order):
                took.append(_round(folders, f"new-{secrets.token_hex(4)}", files))
            print(f"new files, round {number + 1}: secondsite {ours[-1]:.1f} s, lsyncd {theirs[-1]:.1f} s", flush=True)
    name = f"{files:,} new files of 1 KiB until both ends are identical"
    return [Metric(name, "s", Series.of(name, ours), TARGET_RATIO, Series.of(both.lsyncd.name, theirs))]


def _round(folders: Folders, name: str, files: int) -> float:
    began = time.monotonic()
    fill(folders.source / name, files)
    written = time.monotonic() - began

    def there() -> bool:
        return count(folders.copy / name) == files

    while True:
        seen = until(there, EQUAL_SECONDS)
        if equal(folders, name):
            print(f"  {folders.name}: written in {written:.1f} s", flush=True)
            return seen - began


if __name__ == "__main__":
    run("files_new", measure, __doc__, rounds=3)
