"""The same disaster again and again: each report beside the customer's own list and the new primary's own tables.

What the report says is lost is compared with what the customer holds receipts for and the database and the folder at
the surviving site do not have, read there by plain commands. Then the lab is taken down, and what is left is counted.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.results import BUILD
from secondsite_lab.applied import BIN, AppliedLab
from secondsite_lab.testing import left_behind

DEMO_SECONDS = 600.0
ORDERS = "runuser -u postgres -- psql -qAtd shop -c 'SELECT key FROM orders'"
UPLOADS = "ls -A /srv/shop/uploads"
HEAD = (
    "| run | exit | in all (s) | left behind | customers without service (s) | command to first served (s) | orders"
    " acknowledged | orders lost | files lost | loss estimated (s) | loss measured (s) | the customer's list agrees |"
)


@dataclass(frozen=True, slots=True)
class Played:
    """One demo. agrees: are exactly those orders and files gone which the report names?"""

    exit_code: int
    seconds: float
    left: tuple[str, ...]
    report: dict[str, Any]
    agrees: bool

    def row(self, number: int) -> str:
        """As a line of the table."""
        customer, moments = self.report["customer"], {one["kind"]: one["seconds"] for one in self.report["moments"]}
        loss = self.report["rpo"]
        cells = (
            number,
            self.exit_code,
            f"{self.seconds:.0f}",
            len(self.left),
            f"{customer['outage_seconds']:.1f}",
            f"{moments['customer'] - moments['decision']:.2f}",
            customer["orders_acknowledged"],
            len(customer["orders_lost"]),
            len(customer["files_lost"]),
            f"{loss['estimated_seconds']:.1f}",
            f"{loss['measured_seconds']:.1f}",
            "yes" if self.agrees else "NO",
        )
        return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> None:
    """Play so many; a table, and exit 1 where one left something behind or disagreed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    played: list[Played] = []
    print(HEAD, "|---" * HEAD.count(" | ") + "|---|", sep="\n")
    for number in range(1, rounds + 1):
        played.append(_play())
        print(played[-1].row(number), flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    kept = [{"exit_code": one.exit_code, "left": one.left, "agrees": one.agrees, **one.report} for one in played]
    (BUILD / "demos.json").write_text(json.dumps(kept, indent=2) + "\n")
    if any(one.exit_code or one.left or not one.agrees for one in played):
        raise SystemExit(1)


def _play() -> Played:
    with TemporaryDirectory() as folder:
        began = time.monotonic()
        demo = subprocess.run(
            [str(BIN / "secondsite-lab"), "demo", "--keep", "--output", folder],
            check=False,
            capture_output=True,
            text=True,
            timeout=DEMO_SECONDS,
        )
        seconds = time.monotonic() - began
        named = re.search(r"--name (\S+);", demo.stdout + demo.stderr)
        if named is None:
            raise SystemExit(f"the demo ended with {demo.returncode}: {demo.stdout}{demo.stderr}")
        try:
            report = json.loads((Path(folder) / "report.json").read_text())
            lab = _lab(named[1])
            agrees = _gone(lab, Path(folder) / "customer.jsonl") == {
                "order": set(report["customer"]["orders_lost"]),
                "file": set(report["customer"]["files_lost"]),
            }
        finally:
            subprocess.run([str(BIN / "secondsite-lab"), "down", "--name", named[1]], check=True, timeout=120)
        return Played(demo.returncode, seconds, tuple(left_behind(named[1])), report, agrees)


def _lab(name: str) -> AppliedLab:
    said = subprocess.run(
        [str(BIN / "secondsite-lab"), "info", "--json", "--name", name],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return AppliedLab(name, json.loads(said.stdout))


def _gone(lab: AppliedLab, receipts: Path) -> dict[str, set[str]]:
    """By kind: what was acknowledged to the customer, and is not at the surviving site."""
    kept = {"order": set(lab.on("bergen", ORDERS).split()), "file": set(lab.on("bergen", UPLOADS).split())}
    promised: dict[str, set[str]] = {"order": set(), "file": set()}
    for line in receipts.read_text().splitlines():
        attempt = json.loads(line)
        if attempt["acknowledged_at"] is not None:
            promised[attempt["kind"]].add(attempt["id"])
    return {kind: promised[kind] - kept[kind] for kind in promised}


if __name__ == "__main__":
    main()
