"""What watching costs: the agent's processor time and memory at rest, and the time of ``secondsite status``."""

from __future__ import annotations

import argparse
import json
import time

from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite_lab.applied import AppliedLab, applied

SITES = ("oslo", "bergen")
REST_SECONDS = 60
WARM_SECONDS = 20.0
CPU_PERCENT, RSS_MB, STATUS_SECONDS = 1.0, 80.0, 0.4

# Run on the host itself, so that SSH is not measured. Children are the programs an agent starts (systemctl, rsync).
_MEASURE = """
import json, os, subprocess, sys, time
rounds, rest = int(sys.argv[1]), float(sys.argv[2])
def spent(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return [int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])]
def took(argv):
    began = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
    return time.monotonic() - began
pid = subprocess.run(["systemctl", "show", "-p", "MainPID", "--value", "secondsite-agent"], capture_output=True,
                     text=True, check=True).stdout.strip()
before = spent(pid)
time.sleep(rest)
after = spent(pid)
tick = os.sysconf("SC_CLK_TCK")
rss = next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))
took(["secondsite", "status", "--json"])
print(json.dumps({
    "cpu": (after[0] - before[0]) / tick / rest * 100, "children": (after[1] - before[1]) / tick / rest * 100,
    "rss": rss / 1024,
    "json": [took(["secondsite", "status", "--json"]) for _ in range(rounds)],
    "human": [took(["secondsite", "status"]) for _ in range(rounds)],
    "python": [took(["python3", "-IS", "-c", "pass"]) for _ in range(rounds)],
}))
"""


def main() -> None:
    """Rest, then ask so many times, at both sites."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with applied("bench-agent") as lab:
        time.sleep(WARM_SECONDS)
        seen = {site: _measured(lab, site, rounds) for site in SITES}
        versions = {"secondsite": __version__, "postgresql": lab.on("bergen", "pg_lsclusters -h").split()[0]}
    write("agent", rounds, versions, metrics(seen))


def metrics(seen: dict[str, dict[str, list[float]]]) -> list[Metric]:
    """From what each site measured."""
    found = []
    for site, told in seen.items():
        role = "primary" if site == "oslo" else "standby"
        found += [
            _metric(f"agent at rest, {role}: processor", "%", told["cpu"], CPU_PERCENT),
            _metric(f"programs it starts, {role}: processor", "%", told["children"], None),
            _metric(f"agent, {role}: memory", "MB", told["rss"], RSS_MB),
            _metric(f"status --json on the {role}", "s", told["json"], STATUS_SECONDS),
            _metric(f"status on the {role}", "s", told["human"], STATUS_SECONDS),
            _metric(f"python3 that does nothing, {role}", "s", told["python"], None),
        ]
    return found


def _metric(name: str, unit: str, values: list[float], target: float | None) -> Metric:
    return Metric(name, unit, Series.of(name, values), target)


def _measured(lab: AppliedLab, site: str, rounds: int) -> dict[str, list[float]]:
    done = lab.said(site, f"python3 - {rounds} {REST_SECONDS}", stdin=_MEASURE, timeout=REST_SECONDS + 120)
    told = json.loads(done.stdout)
    return {name: value if isinstance(value, list) else [value] for name, value in told.items()}


if __name__ == "__main__":
    main()
