"""What file sets cost while nothing happens: processor time at both hosts, with 50,000 files, and without any set.

Counted are all processes of ours and what they start: the agents, the watchers with their doors, and the daemons that
offer large files. Then the set is taken out of the service's file and applied, and the agents alone are counted: the
difference is what file sets cost; the rest is the database, the tunnel, the samples and the peer.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.file_sites import EQUAL_SECONDS, SOURCE, STANDBY, Sites, run, until
from bench.results import Metric, Series

REST_SECONDS = 20
WARM_SECONDS = 10.0
TARGET_PERCENT = 0.5
AGENT = "secondsite-agent"
UNITS = (AGENT, "secondsite-watch", "secondsite-files")
Spent = Mapping[str, float]  # by unit: percent of one processor, both hosts together

_MEASURE = """
import json, os, subprocess, sys, time
rest, units = float(sys.argv[1]), sys.argv[2:]
def spent():
    found = dict.fromkeys(units, 0)
    for unit in units:
        told = subprocess.run(["systemctl", "show", "-p", "MainPID", "--value", unit], capture_output=True, text=True)
        pids = {told.stdout.strip()} - {"", "0"}
        while pids:
            pid = pids.pop()
            try:
                fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
                pids |= set(open(f"/proc/{pid}/task/{pid}/children").read().split())
            except OSError:
                continue
            found[unit] += sum(map(int, fields[11:15]))  # with those that have ended
    return found
before, began = spent(), time.monotonic()
time.sleep(rest)
after, took = spent(), time.monotonic() - began
tick = os.sysconf("SC_CLK_TCK")
print(json.dumps({unit: (after[unit] - before[unit]) / tick / took * 100 for unit in units}))
"""


def measure(both: Sites, rounds: int, scale: int) -> list[Metric]:
    """First with the set, then without; then the set is there again."""
    rest = max(5, REST_SECONDS * scale // 100)
    config = Path(both.lab.info["config"])
    text = config.read_text()
    try:
        with_files = _rounds(both, "with file sets", rounds, rest)
        config.write_text(without_files(text))
        _apply(both)
        without = _rounds(both, "without", rounds, rest)
    finally:
        config.write_text(text)
    _apply(both)
    until(both.followed, EQUAL_SECONDS)
    return metrics(with_files, without)


def metrics(with_files: Sequence[Spent], without: Sequence[Spent]) -> list[Metric]:
    """Pure: of each round the sum over both hosts; what files cost is each round's sum less the median without."""
    alone = Series.of("", [sum(each.values()) for each in without]).median
    sums = [sum(each.values()) for each in with_files]
    rows = [
        ("file sets at rest, both hosts: what they cost", [value - alone for value in sums], TARGET_PERCENT),
        ("  of that, watchers and doors", [each["secondsite-watch"] for each in with_files], None),
        ("agents without file sets, both hosts", [sum(each.values()) for each in without], None),
        ("all of secondsite with file sets, both hosts", sums, None),
    ]
    return [Metric(name.strip(), "% of a core", Series.of(name, values), target) for name, values, target in rows]


def without_files(text: str) -> str:
    """Pure: the service's file without its file sets."""
    kept, skipped = [], False
    for line in text.splitlines():
        if line.startswith("["):
            skipped = line.startswith("[[files]]")
        if not skipped:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _apply(both: Sites) -> None:
    subprocess.run(both.lab.operator("apply", "--yes"), check=True, timeout=600, stderr=subprocess.DEVNULL)
    both.lab.until_ready()


def _rounds(both: Sites, words: str, rounds: int, rest: int) -> list[Spent]:
    time.sleep(WARM_SECONDS)
    found = []
    for number in range(rounds):
        found.append(_round(both, rest))
        told = ", ".join(f"{unit.removeprefix('secondsite-')} {value:.2f}" for unit, value in found[-1].items())
        print(f"at rest {words}, round {number + 1}: {told} % of a core", flush=True)
    return found


def _round(both: Sites, rest: int) -> Spent:
    """Both hosts at the same time."""
    command = " ".join(("python3", "-IS", "-", str(rest), *UNITS))
    asked = [
        subprocess.Popen(
            both.lab.ssh(site, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for site in (SOURCE, STANDBY)
    ]
    for each in asked:
        assert each.stdin is not None
        each.stdin.write(_MEASURE)
        each.stdin.close()
    total = dict.fromkeys(UNITS, 0.0)
    for each in asked:
        assert each.stdout is not None
        for unit, value in json.loads(each.stdout.read()).items():
            total[unit] += value
        each.wait(timeout=60)
    return total


if __name__ == "__main__":
    run("files_idle", measure, __doc__, rounds=3)
