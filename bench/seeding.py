"""A standby's data: our seed beside ``pg_basebackup --checkpoint=fast``, from the same primary over the same tunnel.

Both are started on the standby's host, end with a copy that is safe on its disk, and take turns in going first. The
copy before the first round, which nobody times, warms the primary's cache for both; each starts with an empty folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.filled import AS_OWNER, BIN, fill
from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite_lab.applied import AppliedLab, applied

MEGABYTES = 1000
TARGET_RATIO = 1.05
COPY_SECONDS = 900
STANDBY = "bergen"

_OURS = Path(__file__).with_name("clients").joinpath("seed.py").read_text()
_PLAIN = f"""
import json, os, shutil, subprocess, time
folder = "/var/lib/postgresql/15/by-hand"
settings = open("/etc/postgresql/15/main/conf.d/secondsite.conf").read()
source = next(line for line in settings.splitlines() if line.startswith("primary_conninfo")).split("'")[1]
shutil.rmtree(folder, ignore_errors=True)
os.sync()
began = time.monotonic()
subprocess.run([*"{AS_OWNER} {BIN}/pg_basebackup --checkpoint=fast --no-password --pgdata".split(), folder,
                "--dbname", source], check=True)
print(json.dumps(time.monotonic() - began))
shutil.rmtree(folder)
os.sync()
"""


def main() -> None:
    """Alternate the two for so many rounds; medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    options = parser.parse_args()
    times: dict[str, list[float]] = {_OURS: [], _PLAIN: []}
    with applied("bench-seeding") as lab:
        size = fill(lab, options.megabytes)
        # A standby is not seeded while it streams, and nothing of ours runs beside the plain command.
        lab.on(STANDBY, "systemctl stop secondsite-agent; pg_ctlcluster 15 main stop -m fast")
        _timed(lab, _PLAIN)
        for number in range(options.rounds):
            order = (_OURS, _PLAIN) if number % 2 == 0 else (_PLAIN, _OURS)
            for program in order:
                times[program].append(_timed(lab, program))
            print(
                f"round {number + 1}: secondsite {times[_OURS][-1]:.2f} s, plain {times[_PLAIN][-1]:.2f} s", flush=True
            )
        versions = {"secondsite": __version__, "postgresql": lab.on(STANDBY, "pg_lsclusters -h").split()[0]}
    name = f"seeding a standby, {size} MB"
    plain = Series.of("pg_basebackup --checkpoint=fast", times[_PLAIN])
    write("seeding", options.rounds, versions, [Metric(name, "s", Series.of(name, times[_OURS]), TARGET_RATIO, plain)])


def _timed(lab: AppliedLab, program: str) -> float:
    done = lab.said(STANDBY, "python3 -IS -", stdin=program, timeout=COPY_SECONDS)
    if done.returncode != 0:
        raise SystemExit(f"the copy ended with {done.returncode}: {done.stdout}{done.stderr}")
    return float(json.loads(done.stdout))


if __name__ == "__main__":
    main()
