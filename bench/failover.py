"""Command to the customer's first acknowledged order: secondsite beside a bare script, after a power failure.

The bare script is what a careful administrator has on a page: one SSH login, ``pg_ctl promote``, start of the
application, one signed DNS update. No fence, no guard, no journal, no check. Both are given from the same place.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite.database.cluster import Cluster
from secondsite_lab.applied import BIN, AppliedLab, applied

SILENT_SECONDS = 6.0  # the primary is dead for so long before the command is given
ORDER_INTERVAL_MS = "20"
PATIENCE_SECONDS = 30.0
TARGET_RATIO = 1.1

BARE = """
set -e
runuser -u postgres -- @PG_CTL@ promote -s -w -D @DATA@
systemctl start shop.service
printf 'server 203.0.113.53\\nzone example.test.\\nupdate del shop.example.test. A\\n'\
'update add shop.example.test. 5 A 198.51.100.12\\nsend\\n' \
  | knsupdate -y "hmac-sha256:secondsite:$(cat /etc/secondsite/dns.key)"
"""
WITHOUT_US = (  # a standby as one has it without secondsite: no agent, no guard in front of the application
    "systemctl stop secondsite-agent.service;"
    "rm -f /etc/systemd/system/shop.service.d/secondsite-guard.conf; systemctl daemon-reload"
)


def bare(cluster: Cluster) -> str:
    """The bare script for one cluster."""
    return BARE.replace("@PG_CTL@", cluster.program("pg_ctl")).replace("@DATA@", str(cluster.data))


def main() -> None:
    """Alternate the two for so many rounds; medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    ours, by_hand = [], []
    with applied("bench-failover") as lab:
        for number in range(rounds):
            ours.append(_round(lab, lab.ssh("bergen", "secondsite failover --yes --accept-unconfirmed-fence"), None))
            by_hand.append(_round(lab, lab.ssh("bergen", bare(lab.cluster)), WITHOUT_US))
            print(f"round {number + 1}: secondsite {ours[-1]:.3f} s, by hand {by_hand[-1]:.3f} s", flush=True)
        versions = {"secondsite": __version__, "postgresql": lab.on("bergen", "pg_lsclusters -h").split()[0]}
    name = "failover: command to first acknowledged order"
    metric = Metric(name, "s", Series.of(name, ours), TARGET_RATIO, Series.of("by hand", by_hand))
    write("failover", rounds, versions, [metric])


def _round(lab: AppliedLab, command: list[str], before: str | None) -> float:
    lab.reset()
    if before is not None:
        lab.on("bergen", before)
    with TemporaryDirectory() as folder:
        log = Path(folder) / "customer.jsonl"
        shopping = [str(BIN / "python"), "-m", "secondsite_lab.customer", "--order-interval", ORDER_INTERVAL_MS]
        customer = subprocess.Popen(
            lab.world(*shopping, "--upload-interval", "0", "--timeout", "0.5", "--log", str(log)),
            stdout=subprocess.DEVNULL,
        )
        try:
            time.sleep(1.5)
            lab.lab("power-off", "oslo")
            time.sleep(SILENT_SECONDS)
            given = time.time()
            done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            served = _first_order(log, given)
            done.wait(timeout=120)
            return served - given
        finally:
            customer.terminate()
            customer.wait(timeout=10)


def _first_order(log: Path, since: float) -> float:
    deadline = time.time() + PATIENCE_SECONDS
    while time.time() < deadline:
        for line in log.read_text().splitlines(keepends=True):
            attempt = json.loads(line) if line.endswith("\n") else {}
            if attempt.get("acknowledged_at") and attempt["sent_at"] >= since:
                return float(attempt["acknowledged_at"])
        time.sleep(0.05)
    raise TimeoutError(f"no order was acknowledged within {PATIENCE_SECONDS:g} s")


if __name__ == "__main__":
    main()
