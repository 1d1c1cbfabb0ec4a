"""One file of 2 GiB: from its appearing at the source until it is complete at the standby, beside a plain rsync.

Both come from the same rsync daemon over the same tunnel, and the file lies in the source's memory. The plain command
is started by hand on the standby: it need not notice that there is a file, and does not wait for a disk. Times are
compared: 0.95 of its rate is 1 / 0.95 of its time.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from bench.file_sites import SOURCE, STANDBY, Sites, inside, run, until
from bench.results import Metric, Series
from secondsite_lab.topology import UPLOADS

SIZE = 2 << 30
BLOCK = 1 << 24
RATE = 0.95
FILES_PORT = 7434
PLAIN = "/srv/plain"
COPY_SECONDS = 900.0

_PLAIN = f"""
import json, os, shutil, subprocess, sys, time
shutil.rmtree("{PLAIN}", ignore_errors=True)
os.mkdir("{PLAIN}")
os.sync()
began = time.monotonic()
subprocess.run(["rsync", "--archive", sys.argv[1], "{PLAIN}/"], check=True)
print(json.dumps(time.monotonic() - began))
shutil.rmtree("{PLAIN}")
os.sync()
"""


def measure(both: Sites, rounds: int, scale: int) -> list[Metric]:
    """Ours, then the same file once more by hand; each round has a new file."""
    ours: list[float] = []
    plain: list[float] = []
    size = SIZE * scale // 100
    for number in range(rounds):
        file = both.ours.source / f"large-{number}"
        ours.append(_ours(both, file, size))
        url = f"rsync://{both.address(SOURCE)}:{FILES_PORT}/{Path(UPLOADS).name}/{file.name}"
        plain.append(float(json.loads(inside(both.lab, STANDBY, _PLAIN, url, timeout=COPY_SECONDS))))
        file.unlink()
        until(lambda gone=both.ours.copy / file.name: not gone.exists(), 60.0)  # type: ignore[misc]
        told = [f"{took[-1]:.1f} s ({size / took[-1] / 1e6:.0f} MB/s)" for took in (ours, plain)]
        print(f"large file, round {number + 1}: secondsite {told[0]}, rsync {told[1]}", flush=True)
    name = f"a file of {size / 2**30:g} GiB until it is complete at the standby"
    return [Metric(name, "s", Series.of(name, ours), round(1 / RATE, 3), Series.of("rsync --archive", plain))]


def _ours(both: Sites, file: Path, size: int) -> float:
    """Written elsewhere on the same file system, and moved into the set: there it is at once."""
    aside = both.root(SOURCE) / "srv" / file.name
    write_random(aside, size)
    os.sync()
    copy = both.ours.copy / file.name
    began = time.monotonic()
    aside.rename(file)
    seen = until(copy.exists, COPY_SECONDS, pause=0.02)
    if copy.stat().st_size != size:
        raise SystemExit(f"{copy.name} has {copy.stat().st_size} bytes at the standby")
    return seen - began


def write_random(file: Path, size: int) -> None:
    """What nobody can compress on the way, quickly made: each block differs from the others in its first bytes only."""
    block = bytearray(os.urandom(BLOCK))
    with file.open("wb") as opened:
        for at in range(0, size, BLOCK):
            block[:8] = at.to_bytes(8, "big")
            opened.write(block[: size - at])


if __name__ == "__main__":
    run("files_large", measure, __doc__, rounds=3)
