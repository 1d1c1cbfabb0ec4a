"""The shop and its customer: what was acknowledged is there, and what is gone is found out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondsite.database.cluster import Cluster
from secondsite_lab.testing import RunningLab, running_lab

pytestmark = pytest.mark.lab
URL = "http://shop.example.test:8000"


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    with running_lab(f"shop-{os.getpid()}") as running:
        yield running


def curl(lab: RunningLab, *words: str) -> tuple[int, Any]:
    """One request from the world: the status, and the JSON that came."""
    done = lab.from_world("curl", "-s", "--max-time", "5", "-w", "\n%{http_code}", *words)
    body, _, status = done.out.rpartition("\n")
    return int(status), json.loads(body) if body.strip().startswith(("{", "[")) else body


def test_an_order_is_taken_once_and_shown(lab: RunningLab) -> None:
    status, order = curl(lab, "-d", '{"key": "a-1", "item": "tea", "quantity": 2}', f"{URL}/orders")
    assert (status, order["key"]) == (201, "a-1")
    assert curl(lab, "-d", '{"key": "a-1"}', f"{URL}/orders")[0] == 409
    assert curl(lab, "-d", "{}", f"{URL}/orders")[0] == 400
    assert curl(lab, f"{URL}/orders?after={order['id'] - 1}") == (200, ["a-1"])
    assert curl(lab, f"{URL}/orders?after={order['id']}") == (200, [])


def test_an_upload_is_kept_byte_for_byte(lab: RunningLab, tmp_path: Path) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(os.urandom(100_000))
    status, stored = curl(lab, "-T", str(picture), f"{URL}/uploads/picture")
    assert (status, stored["size"]) == (201, 100_000)
    assert stored in curl(lab, f"{URL}/uploads")[1]
    got = tmp_path / "got"
    lab.from_world("curl", "-s", "-o", str(got), f"{URL}/uploads/picture")
    assert got.read_bytes() == picture.read_bytes()
    assert curl(lab, "-T", str(picture), "--path-as-is", f"{URL}/uploads/..%2fpicture")[0] == 400


def test_the_shop_listens_when_its_start_returns_and_starts_at_once(lab: RunningLab) -> None:
    timed = "systemctl stop shop; s=$(date +%s%N); systemctl start shop; e=$(date +%s%N); echo $(((e-s)/1000000))"
    measured = [int(lab.inside("oslo", "sh", "-c", timed)) for _ in range(3)]
    assert min(measured) < 1000, measured  # 80 on an idle machine
    probe = "systemctl restart shop; exec 3<>/dev/tcp/127.0.0.1/8000 && echo open"
    assert lab.inside("oslo", "bash", "-c", probe).strip() == "open"


def test_health_says_what_is_missing(lab: RunningLab) -> None:
    assert curl(lab, f"{URL}/health")[0] == 200
    lab.inside("oslo", "sh", "-c", "mv /srv/shop/uploads /srv/shop/away")
    status, reason = curl(lab, f"{URL}/health")
    lab.inside("oslo", "sh", "-c", "mv /srv/shop/away /srv/shop/uploads")
    assert (status, reason["reason"].split(":")[0]) == (503, "uploads")
    database = Cluster.parse(lab.info["cluster"]).unit
    lab.inside("oslo", "systemctl", "stop", database)
    status, reason = curl(lab, f"{URL}/health")
    lab.inside("oslo", "systemctl", "start", database)
    assert (status, reason["reason"].split(":")[0]) == (503, "database")
    assert curl(lab, f"{URL}/health")[0] == 200


def shopping(lab: RunningLab, log: Path) -> subprocess.Popen[str]:
    """A customer that shops until it is stopped."""
    words = [sys.executable, "-m", "secondsite_lab", "customer", "--name", lab.name, "--"]
    return subprocess.Popen(
        [*words, "--log", str(log), "--order-interval", "50", "--upload-interval", "200", "--timeout", "0.5"],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_outage_does_not_stall_the_customer_and_losses_are_found(lab: RunningLab, tmp_path: Path) -> None:
    log = tmp_path / "customer.jsonl"
    with shopping(lab, log) as customer:
        time.sleep(1.5)
        lab.must("link", "cut", "oslo", "world")
        time.sleep(1)
        lab.must("link", "heal", "oslo", "world")
        time.sleep(1)
        customer.send_signal(signal.SIGTERM)
        printed, _ = customer.communicate(timeout=10)
        assert customer.returncode == 0
    assert printed == log.read_text()
    attempts = sorted((json.loads(line) for line in printed.splitlines()), key=lambda attempt: attempt["sent_at"])
    orders = [attempt for attempt in attempts if attempt["kind"] == "order"]
    failed = [attempt for attempt in orders if attempt["acknowledged_at"] is None]
    assert all(attempt["error"] for attempt in failed)
    assert len(failed) > 6, "each waits half a second: one by one, no more than three fit into the outage"
    assert len({attempt["id"] for attempt in attempts}) == len(attempts)

    words = (sys.executable, "-m", "secondsite_lab.customer", "verify", "--log", str(log))
    verdict = json.loads(lab.from_world(*words).out)
    assert verdict["orders_acknowledged"] == len(orders) - len(failed)
    assert (verdict["orders_lost"], verdict["files_lost"]) == ([], [])
    kept = [attempt["id"] for attempt in attempts if attempt["acknowledged_at"] is not None]
    order = next(key for key in kept if key.startswith("order"))
    upload, damaged = [key for key in kept if key.startswith("file")][:2]
    lab.inside(
        "oslo", "runuser", "-u", "postgres", "--", "psql", "-qc", f"DELETE FROM orders WHERE key = '{order}'", "shop"
    )
    lab.inside("oslo", "sh", "-c", 'cd /srv/shop/uploads && rm "$1" && echo x >"$2"', "sh", upload, damaged)
    verdict = json.loads(lab.from_world(*words).out)
    assert verdict["orders_lost"] == [order]
    assert verdict["files_lost"] == [upload, damaged]
