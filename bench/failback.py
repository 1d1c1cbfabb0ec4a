"""A former primary comes back: command to streaming standby by rewind, beside a new base backup.

Both are ``secondsite apply --replace-standby`` from the operator's machine, from the same saved state: a database of
2 GB that has failed over, with rows on the old primary that never left it. For the base backup the old primary
comes back with an empty data folder, as after a change of its disk.
"""

from __future__ import annotations

import argparse
import subprocess
import time

from bench.filled import AS_OWNER, BIN, fill
from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite_lab.applied import AppliedLab, applied

MEGABYTES = 2000
WRITE_SECONDS = 5
APPLY_SECONDS = 900
FALLEN = "fallen"
WRITES = f"{AS_OWNER} {BIN}/pgbench -n -c 4 -T {WRITE_SECONDS} filled0 2>&1"
AWAKE = "until systemctl is-active --quiet secondsite-agent; do sleep 0.2; done"
WRITABLE = f'until [ "$({AS_OWNER} psql -qAtc "SELECT pg_is_in_recovery()")" = f ]; do sleep 0.2; done'
STREAMS = (
    f'until [ "$({AS_OWNER} psql -qAtc "SELECT status FROM pg_stat_wal_receiver" 2>/dev/null)" = streaming ];'
    " do sleep 0.1; done; echo $EPOCHREALTIME"
)
EMPTIED = (
    "pg_ctlcluster 15 main stop -m fast || true;"
    " find /var/lib/postgresql/15/main -mindepth 1 -delete; sync -f /var/lib/postgresql"
)


def main() -> None:
    """Alternate the two for so many rounds; medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    options = parser.parse_args()
    rewound, copied = [], []
    with applied("bench-failback") as lab:
        size = fill(lab, options.megabytes)
        _fall(lab)
        for number in range(options.rounds):
            rewound.append(_round(lab, empty=False))
            copied.append(_round(lab, empty=True))
            print(f"round {number + 1}: rewind {rewound[-1]:.2f} s, base backup {copied[-1]:.2f} s", flush=True)
        versions = {"secondsite": __version__, "postgresql": lab.on("bergen", "pg_lsclusters -h").split()[0]}
    name = f"failback: command to streaming standby by rewind, {size} MB"
    baseline = Series.of("new base backup", copied)
    write("failback", options.rounds, versions, [Metric(name, "s", Series.of(name, rewound), 1.0, baseline)])


def _fall(lab: AppliedLab) -> None:
    """Fail over while each side has rows of its own, give the old primary its power back, and keep this state."""
    lab.lab("link", "cut", "oslo", "bergen")
    lab.on("oslo", WRITES)
    lab.lab("power-off", "oslo")
    lab.lab("link", "heal", "oslo", "bergen")
    lab.on("bergen", "secondsite failover --yes --accept-unconfirmed-fence")
    lab.on("bergen", WRITES)
    lab.lab("power-on", "oslo")
    lab.on("oslo", AWAKE)
    lab.lab("save", FALLEN)


def _round(lab: AppliedLab, *, empty: bool) -> float:
    lab.lab("restore", FALLEN)
    for host, ready in (("oslo", AWAKE), ("bergen", AWAKE), ("bergen", WRITABLE)):
        lab.on(host, ready)
    if empty:
        lab.on("oslo", EMPTIED)
    watching = subprocess.Popen(lab.ssh("oslo", STREAMS), stdout=subprocess.PIPE, text=True)
    try:
        given = time.time()
        command = lab.operator("apply", "--yes", "--replace-standby", "oslo")
        done = subprocess.run(command, capture_output=True, text=True, timeout=APPLY_SECONDS)
        if done.returncode != 0:
            raise SystemExit(f"apply ended with {done.returncode}: {done.stdout}{done.stderr}")
        told, _ = watching.communicate(timeout=60)
        return float(told) - given
    finally:
        watching.kill()
        watching.wait(timeout=10)


if __name__ == "__main__":
    main()
