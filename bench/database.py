"""Everything that a promise about the database rests on, in one document: each beside its plain commands.

Failover, switchover, seeding, load and failback, one after the other, each as its own module measures it and with the
same number of rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from bench.results import BUILD, Metric, write

PARTS = ("failover", "switchover", "seeding", "load", "failback")


def main() -> None:
    """Run the parts; one document and one table of all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    metrics: list[Metric] = []
    versions: dict[str, str] = {}
    for part in PARTS:
        subprocess.run([sys.executable, "-m", f"bench.{part}", "--rounds", str(rounds)], check=True)
        document = json.loads((BUILD / f"{part}.json").read_text())
        metrics += [Metric.read(one) for one in document["metrics"]]
        versions |= document["versions"]
    write("database", rounds, versions, metrics)


if __name__ == "__main__":
    main()
