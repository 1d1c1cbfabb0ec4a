"""How long a client cannot write during a planned move, while pgbench keeps the primary busy; beside doing it by hand.

By hand is what a careful administrator has on a page: stop the application and the database at one site, promote,
start the application and change the DNS at the other. No gate, no proof, no way back, and no standby afterwards.

Then with PgBouncer in front at both sites: how many errors its clients see, and how long the slowest of them waits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.failover import WITHOUT_US, bare
from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite.database.cluster import Cluster
from secondsite_lab import pooler
from secondsite_lab.applied import BIN, AppliedLab, applied

SCALE = "5"
CLIENTS = "4"
BEFORE_SECONDS = 4.0
AFTER_SECONDS = 10.0
TARGET_SECONDS = 1.0
ERRORS = "switchover with PgBouncer: errors that its clients see, and rows lost"
WAIT = "switchover with PgBouncer: longest wait of a client"


def stop(cluster: Cluster) -> str:
    """End the application and the database at the old primary, and have the database follow when it starts again."""
    return (
        f"systemctl stop shop.service; pg_ctlcluster {cluster.version} {cluster.name} stop -m fast;"
        f" runuser -u postgres -- touch {cluster.data}/standby.signal"
    )


def main() -> None:
    """Alternate the two for so many rounds; medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ours, by_hand = [], []
    with applied("bench-switchover", "--open-database") as lab:
        for number in range(rounds):
            ours.append(_round(lab, [lab.ssh("bergen", "secondsite switchover --yes")]))
            commands = [lab.ssh("oslo", stop(lab.cluster)), lab.ssh("bergen", bare(lab.cluster))]
            by_hand.append(_round(lab, commands, without_us=True))
            print(f"round {number + 1}: secondsite {ours[-1]:.3f} s, by hand {by_hand[-1]:.3f} s", flush=True)
        pooled = _pooled(lab, rounds)
        versions = {"secondsite": __version__, "postgresql": lab.on("bergen", "pg_lsclusters -h").split()[0]}
    errors = [float(sum(len(seen["errors"]) + len(seen["lost"]) for seen in pooled))]
    waits = [float(seen["longest_wait_seconds"]) for seen in pooled]
    name = "switchover under pgbench: longest time without a commit"
    write(
        "switchover",
        rounds,
        versions,
        [
            Metric(name, "s", Series.of(name, ours), TARGET_SECONDS),
            Metric(f"{name}, compared", "s", Series.of(name, ours), 1.0, Series.of("by hand", by_hand)),
            Metric(ERRORS, "errors", Series.of(ERRORS, errors), 0.0),
            Metric(WAIT, "s", Series.of(WAIT, waits), TARGET_SECONDS),
        ],
    )


def _round(lab: AppliedLab, commands: Sequence[Sequence[str]], *, without_us: bool = False) -> float:
    lab.reset()
    if without_us:
        for host in ("oslo", "bergen"):
            lab.on(host, WITHOUT_US)
    dsn, server = lab.info["app"]["dsn"], lab.info["dns"]["server"]
    _pgbench(lab, "-i", "-q", "-s", SCALE).wait(timeout=120)
    load = _pgbench(lab, "-n", "-c", CLIENTS, "-T", str(int(BEFORE_SECONDS + AFTER_SECONDS)))
    writer = subprocess.Popen(
        lab.world(str(BIN / "python"), "-m", "bench.clients.writer", dsn, server, str(BEFORE_SECONDS + AFTER_SECONDS)),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(BEFORE_SECONDS)
    given = time.time()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    told, _ = writer.communicate(timeout=120)
    load.wait(timeout=120)
    return longest([float(line) for line in told.split()], since=given)


def _pooled(lab: AppliedLab, rounds: int) -> list[dict[str, Any]]:
    """So many moves there and as many back, with clients at both sites' PgBouncer; what they saw in each."""
    lab.reset()
    pooler.install(lab)
    through = [pooler.dsn_of(lab, host) for host in ("oslo", "bergen")]
    seen = []
    for to in ("bergen", "oslo") * rounds:
        writing = subprocess.Popen(
            lab.world(str(BIN / "python"), "-m", "secondsite_lab.pooled_client", *through),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(BEFORE_SECONDS)
        subprocess.run(
            lab.ssh(to, f"secondsite switchover --to {to} --yes"), check=True, capture_output=True, timeout=120
        )
        time.sleep(BEFORE_SECONDS)
        writing.terminate()
        told, _ = writing.communicate(timeout=120)
        seen.append(json.loads(told.splitlines()[-1]))
        print(f"PgBouncer, to {to}: {len(seen[-1]['errors'])} errors, {seen[-1]['longest_wait_seconds']} s", flush=True)
        lab.until_ready()
    return seen


def longest(commits: Sequence[float], *, since: float) -> float:
    """The longest time between two commits around and after ``since``; raises where nothing was committed after it."""
    if not any(moment > since for moment in commits):
        raise ValueError("nothing was committed any more")
    return max(later - earlier for earlier, later in pairwise(commits) if later > since)


def _pgbench(lab: AppliedLab, *arguments: str) -> subprocess.Popen[bytes]:
    """pgbench against oslo's own address: it does not follow the service."""
    program = max(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench")), default="pgbench")
    dsn = urlsplit(lab.info["app"]["dsn"])
    argv = [program, *arguments, "-h", lab.info["hosts"]["oslo"]["address"], "-U", str(dsn.username), "shop"]
    environment = {"PGPASSWORD": str(dsn.password), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    return subprocess.Popen(lab.world(*argv), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
