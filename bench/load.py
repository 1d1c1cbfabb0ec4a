"""What the agents cost the customers of a busy database: pgbench at the primary, agents on and off.

Each round is one run of pgbench with many short blocks, agents on or off in the order on, off, off, on: what drifts
slowly, from checkpoints to other work on the machine, strikes both alike. Off means stopped by SIGSTOP at both sites:
nothing of them runs, and they go on at once. The difference of two neighbours is one observation; the median of all
has an interval that assumes nothing about their distribution (order statistics, binomial with p = 0.5).

A throughput that waits for the disk swings by far more than 1 % on a small machine. So there are two more witnesses
that swing less. Commits that do not wait for the disk (synchronous_commit = off, PostgreSQL 17 manual 28.4) keep the
processors busy, which is all that an agent at rest could take from them. And the processor time that the agent, the
programs it starts and its database sessions take at the primary, as a share of all processors: a database that keeps
every processor busy cannot lose more than about that.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb

from bench.filled import AS_OWNER, BIN, fill
from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite_lab.applied import AppliedLab, applied

SITES = ("oslo", "bergen")
MEGABYTES = 300
CLIENTS = 4
PAIRS_A_ROUND = 8
UNWAITED_PAIRS_A_ROUND = 16
BLOCK_SECONDS = 4.0
SETTLE_SECONDS = 1.0  # after a change: what an agent catches up with is not its cost at rest
WARM_SECONDS = 15.0  # also how long processor time is counted
TARGET_PERCENT = 1.0
CONFIDENCE = 0.95
PGBENCH = f"-n -c {CLIENTS} -j 2 -P 1 --progress-timestamp"
_PROGRESS = re.compile(r"^progress: ([\d.]+) s, ([\d.]+) tps", re.MULTILINE)

# Processor time of the agent, of what it has started and waited for, and of its sessions at the database.
_SPENT = """
import json, os, subprocess, sys, time
def spent(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:15])
def said(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
agent = said(["systemctl", "show", "-p", "MainPID", "--value", "secondsite-agent"])
sessions = said(["runuser", "-u", "postgres", "--", "psql", "-qAtc",
                 "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'secondsite%'"])
everything = [pid for pid in agent + sessions if os.path.exists(f"/proc/{pid}")]
before, began = sum(map(spent, everything)), time.monotonic()
time.sleep(float(sys.argv[1]))
seconds = (sum(map(spent, everything)) - before) / os.sysconf("SC_CLK_TCK")
print(json.dumps(seconds / (time.monotonic() - began) / len(os.sched_getaffinity(0)) * 100))
"""


@dataclass(frozen=True, slots=True)
class Block:
    """Agents on or off from one moment to another, by the monotonic clock."""

    on: bool
    began: float
    ended: float


@dataclass(slots=True)
class Observed:
    """What the rounds of one kind of load have told so far; speeds as `losses` takes them, shares in percent."""

    load: str
    blocks: list[Block] = field(default_factory=list)
    speeds: list[tuple[float, float]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def main() -> None:
    """So many rounds of pairs; the median loss, its interval, and the processor time beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with applied("bench-load") as lab:
        fill(lab, MEGABYTES)
        durable, unwaited = Observed("pgbench"), Observed("pgbench that does not wait for the disk")
        for number in range(rounds):
            for kind, pairs in ((durable, PAIRS_A_ROUND), (unwaited, UNWAITED_PAIRS_A_ROUND)):
                lost, share = _round(lab, kind, pairs, wait=kind is durable)
                print(
                    f"round {number + 1}, {kind.load}: {_median(lost):+.2f} % of {len(lost)} pairs, "
                    f"processor {share:.2f} %",
                    flush=True,
                )
        versions = {"secondsite": __version__, "postgresql": lab.on("oslo", "pg_lsclusters -h").split()[0]}
    write("load", rounds, versions, metrics(durable) + metrics(unwaited))


def metrics(seen: Observed) -> list[Metric]:
    """The loss with its interval in the place of lowest and highest; throughput; processor time."""
    lost = losses(seen.blocks, seen.speeds)
    low, high = interval(lost)
    name = f"{seen.load}: lost to the agents, median of {len(lost)} pairs (min and max: its 95 % interval)"
    on, off = (
        [speed for one in seen.blocks if one.on is wanted for speed in _within(one, seen.speeds)]
        for wanted in (True, False)
    )
    share = f"{seen.load}: processor time of the agent and its queries, of all processors"
    return [
        Metric(name, "%", Series(name, round(_median(lost), 3), round(low, 3), round(high, 3)), TARGET_PERCENT),
        Metric(seen.load, "tps", Series.of("agents on", on), None, Series.of("agents off", off)),
        Metric(share, "%", Series.of(share, seen.shares), TARGET_PERCENT),
    ]


def losses(blocks: Sequence[Block], speeds: Sequence[tuple[float, float]]) -> list[float]:
    """Pure: for each two neighbours, how many percent fewer transactions there were with the agents on.

    speeds: (end, transactions a second) of each second, in unix seconds: all hosts of a lab have the machine's clock.
    """
    found = []
    for first, second in zip(blocks[::2], blocks[1::2], strict=True):
        on, off = (_within(one, speeds) for one in ((first, second) if first.on else (second, first)))
        if on and off:
            found.append((1 - sum(on) / len(on) / (sum(off) / len(off))) * 100)
    return found


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Pure: what the median lies between with that confidence, from the values' order alone; all of them if few."""
    ordered, count = sorted(values), len(values)
    rank, outside = 0, 0.0
    while 2 * (outside + comb(count, rank) / 2**count) <= 1 - confidence:
        outside += comb(count, rank) / 2**count
        rank += 1
    place = max(0, rank - 1)
    return ordered[place], ordered[count - 1 - place]


def _median(values: Sequence[float]) -> float:
    return Series.of("", values).median


def _within(block: Block, speeds: Sequence[tuple[float, float]]) -> list[float]:
    """The whole seconds of a block."""
    return [speed for ended, speed in speeds if block.began + 1 <= ended <= block.ended]


def _round(lab: AppliedLab, seen: Observed, pairs: int, *, wait: bool) -> tuple[list[float], float]:
    """One run of pgbench, put with what was seen. Returns its pairs' losses and the share of the processors."""
    seconds = int(2 * WARM_SECONDS + pairs * 2 * (BLOCK_SECONDS + SETTLE_SECONDS + 1.0))
    options = f"PGOPTIONS='-c synchronous_commit={'on' if wait else 'off'}'"
    load = subprocess.Popen(
        lab.ssh("oslo", f"{AS_OWNER} env {options} {BIN}/pgbench {PGBENCH} -T {seconds} filled0 2>&1"),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        time.sleep(WARM_SECONDS)
        share = _share(lab)
        blocks = []
        for pair in range(pairs):
            for on in (True, False) if pair % 2 == 0 else (False, True):
                _agents(lab, on=on)
                time.sleep(SETTLE_SECONDS)
                began = time.time()
                time.sleep(BLOCK_SECONDS)
                blocks.append(Block(on, began, time.time()))
        _agents(lab, on=True)
        told, _ = load.communicate(timeout=seconds)
    finally:
        load.kill()
        load.wait(timeout=10)
    speeds = [(float(ended), float(speed)) for ended, speed in _PROGRESS.findall(told)]
    seen.blocks += blocks
    seen.speeds += speeds
    seen.shares.append(share)
    return losses(blocks, speeds), share


def _agents(lab: AppliedLab, *, on: bool) -> None:
    """Both at the same time."""
    word = f"systemctl kill --signal={'CONT' if on else 'STOP'} secondsite-agent"
    for asked in [subprocess.Popen(lab.ssh(site, word)) for site in SITES]:
        if asked.wait(timeout=30) != 0:
            raise SystemExit(f"{word} ended with {asked.returncode}")


def _share(lab: AppliedLab) -> float:
    """Percent of all processors, while pgbench runs."""
    done = lab.said("oslo", f"python3 -IS - {WARM_SECONDS}", stdin=_SPENT)
    return float(json.loads(done.stdout))


if __name__ == "__main__":
    main()
