"""What the scenarios of recovery stand on: an applied lab, a customer, and questions to the world."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondsite_lab.applied import BIN, AppliedLab
from secondsite_lab.customer.verify import acknowledged

FAILOVER = "secondsite failover --to bergen --yes --json"
ACCEPT = "--accept-unconfirmed-fence"


class Ground:
    """An applied lab that is put back before a test if an earlier one has changed it."""

    def __init__(self, lab: AppliedLab) -> None:
        self.lab = lab
        self.dirty = False

    def fresh(self) -> AppliedLab:
        """The lab as applied. Whoever asks for it may change it."""
        if self.dirty:
            self.lab.reset()
        self.dirty = True
        return self.lab


def where_dns_points(lab: AppliedLab) -> str:
    """The address that the authoritative server gives for the shop."""
    server = lab.info["dns"]["server"]
    code = (
        "import dns.message, dns.query, sys;"
        "answer = dns.query.udp(dns.message.make_query('shop.example.test.', 'A'), sys.argv[1], timeout=3);"
        "print(answer.answer[0][0].address)"
    )
    done = subprocess.run(
        lab.world(str(BIN / "python"), "-c", code, server), check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip()


def buys(lab: AppliedLab) -> bool:
    """Whether a customer who comes through the DNS name can place an order now."""
    argv = [str(BIN / "python"), "-m", "secondsite_lab.customer", "--duration", "0.5", "--upload-interval", "0"]
    done = subprocess.run(lab.world(*argv), check=True, capture_output=True, text=True, timeout=30)
    attempts = [json.loads(line) for line in done.stdout.splitlines()]
    return any(attempt["acknowledged_at"] for attempt in attempts)


def until_buys(lab: AppliedLab, seconds: float = 20) -> None:
    """Wait until a customer is served."""
    deadline = time.monotonic() + seconds
    while not buys(lab):
        assert time.monotonic() < deadline, "no customer is served"


@contextmanager
def shopping(lab: AppliedLab, log: Path) -> Iterator[None]:
    """A customer who shops as long as the block lasts."""
    argv = [str(BIN / "python"), "-m", "secondsite_lab.customer", "--order-interval", "50", "--log", str(log)]
    customer = subprocess.Popen(lab.world(*argv), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        customer.terminate()
        customer.wait(timeout=10)


def until_bought(log: Path, seconds: float = 60) -> None:
    """The customer has orders and files that were acknowledged: on a busy machine it takes a while to come."""
    deadline = time.monotonic() + seconds
    while True:
        lines = log.read_text().splitlines()[:-1] if log.exists() else []
        if all(len(acknowledged(lines, kind)) > 2 for kind in ("order", "file")):
            return
        assert time.monotonic() < deadline, "nothing was bought"
        time.sleep(0.1)


def lost(lab: AppliedLab, log: Path) -> dict[str, Any]:
    """What the customer finds missing of what was acknowledged."""
    argv = [str(BIN / "python"), "-m", "secondsite_lab.customer", "verify", "--log", str(log)]
    done = subprocess.run(lab.world(*argv), check=True, capture_output=True, text=True, timeout=60)
    return dict(json.loads(done.stdout))


def accepts_writes(lab: AppliedLab, host: str) -> bool:
    """Whether the database of a host takes a write, tried for real."""
    command = "runuser -u postgres -- psql -XAtqc 'CREATE TABLE written_by_a_test ()' -c 'DROP TABLE written_by_a_test'"
    return lab.said(host, command).returncode == 0


def recovered_at_bergen(lab: AppliedLab) -> None:
    """Everything a completed failover to bergen promises."""
    assert where_dns_points(lab) == lab.info["hosts"]["bergen"]["address"]
    assert accepts_writes(lab, "bergen")
    until_buys(lab)
    assert lab.said("bergen", "secondsite journal --verify").returncode == 0
