"""Mode sync as a customer feels it: what a lost standby costs by either policy, and that a disaster costs nothing."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondsite_lab.applied import BIN, AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, lost, recovered_at_bergen, until_buys

DEGRADE_AFTER = 5.0
PATIENCE = 2.0  # an attempt of the customer; the shop remembers the order that it has given up


def set_up(lab: AppliedLab, folder: Path, policy: str) -> dict[str, Any]:
    """The lab's own file with mode sync, applied once."""
    keys = f'mode = "sync"\nwhen_standby_lost = "{policy}"\n'
    keys += f'degrade_after = "{DEGRADE_AFTER:g}s"' if policy == "degrade" else ""
    file = folder / f"{policy}.toml"
    file.write_text(re.sub(r'^mode = "async"$', keys, Path(lab.info["config"]).read_text(), flags=re.MULTILINE))
    argv = lab.world(str(BIN / "secondsite"), "--config", str(file), "apply", "--yes", "--json")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def buying(lab: AppliedLab, log: Path) -> Iterator[None]:
    """A customer with some patience, who orders now and then: an order that hangs keeps a connection of the shop's."""
    argv = [str(BIN / "python"), "-m", "secondsite_lab.customer", "--timeout", f"{PATIENCE:g}", "--log", str(log)]
    customer = subprocess.Popen(
        lab.world(*argv, "--order-interval", "400", "--upload-interval", "0"), stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        customer.terminate()
        customer.wait(timeout=10)


def acknowledged(log: Path, since: float) -> list[float]:
    """When the customer got an order confirmed that was sent after ``since``."""
    attempts = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [one["acknowledged_at"] for one in attempts if one["acknowledged_at"] and one["sent_at"] > since]


def until(true: Callable[[], Any], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def status(lab: AppliedLab, host: str = "oslo") -> dict[str, Any]:
    return lab.json(host, "secondsite status --json")


def synchronous(told: dict[str, Any]) -> bool:
    """Whether status claims RPO 0 for the database."""
    database = next(replica for replica in told["replicas"] if replica["name"] == "database")
    assert database["loss_seconds"] == 0 or not database["synchronous"]
    return bool(database["synchronous"])


def found(told: dict[str, Any], check: str) -> list[dict[str, Any]]:
    return [finding for finding in told["findings"] if finding["check"] == check]


def in_step(lab: AppliedLab) -> None:
    until(lambda: synchronous(status(lab)) and synchronous(status(lab, "bergen")), 20, "commits do not wait")
    assert not found(status(lab), "commit-mode") and not found(status(lab), "commits-hang")


def test_a_lost_standby_costs_what_the_policy_says_and_a_disaster_no_acknowledged_order(
    ground: Ground, tmp_path: Path
) -> None:
    lab, log = ground.fresh(), tmp_path / "customer.jsonl"
    applied = set_up(lab, tmp_path, "degrade")
    assert {"check": "commits", "site": "oslo", "ok": True, "message": "commits wait for bergen"}.items() <= next(
        check for check in applied["checks"] if check["check"] == "commits"
    ).items()
    assert set_up(lab, tmp_path, "degrade")["outcome"] == "unchanged", "one apply is enough"
    in_step(lab)
    with buying(lab, log):
        time.sleep(2)
        _moves_there_and_back(lab)
        _degrades_and_comes_back(lab, log, tmp_path)
        assert "when_standby_lost" in str(set_up(lab, tmp_path, "block")["changes"])
        in_step(lab)
        _hangs_and_goes_on(lab, log)
        _burns_and_loses_nothing(lab, log)
        until_buys(lab)
        time.sleep(1)
    recovered_at_bergen(lab)
    verdict = lost(lab, log)
    assert verdict["orders_acknowledged"] > 50
    assert verdict["orders_lost"] == []


def _moves_there_and_back(lab: AppliedLab) -> None:
    for to, other in (("bergen", "oslo"), ("oslo", "bergen")):
        document = lab.json(to, "secondsite switchover --yes --json")
        assert document.get("outcome") == "completed", document
        shown = lab.on(to, "runuser -u postgres -- psql -XAtc 'SHOW synchronous_standby_names'").strip()
        assert shown == f'FIRST 1 ("{other}")', "commits wait again before the move has ended"
        in_step(lab)
        until(lambda: all(status(lab, host)["ready"] for host in ("oslo", "bergen")), 30, "not ready after the move")


def _degrades_and_comes_back(lab: AppliedLab, log: Path, folder: Path) -> None:
    lab.lab("link", "cut", "oslo", "bergen")
    cut = time.time()
    until(lambda: acknowledged(log, cut), 20, "the customer is not served again")
    again = min(acknowledged(log, cut)) - cut
    assert DEGRADE_AFTER - 3 < again < DEGRADE_AFTER + 4, again
    until(lambda: found(status(lab), "commit-mode"), 5, "nobody tells that commits do not wait any more")
    told = status(lab)
    (degraded,) = found(told, "commit-mode")
    assert not synchronous(told) and "RPO is not 0 any more" in degraded["message"], told
    assert "commits no longer wait for bergen" in lab.on("oslo", "journalctl --no-pager -u secondsite-agent")
    planned = subprocess.run(
        lab.world(str(BIN / "secondsite"), "--config", str(folder / "degrade.toml"), "plan"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "commits wait for bergen no longer, since" in planned.stderr + planned.stdout, planned
    lab.lab("link", "heal", "oslo", "bergen")
    in_step(lab)


def _hangs_and_goes_on(lab: AppliedLab, log: Path) -> None:
    lab.lab("link", "cut", "oslo", "bergen")
    cut = time.time()
    until(lambda: found(status(lab), "commits-hang"), 15, "hanging commits are not told")
    (hang,) = found(status(lab), "commits-hang")
    assert hang["severity"] == "critical" and "ALTER SYSTEM RESET synchronous_standby_names" in hang["hint"], hang
    time.sleep(max(0.0, cut + 2 * DEGRADE_AFTER - time.time()))
    assert acknowledged(log, cut) == [], "an order was confirmed that bergen has not"
    lab.lab("link", "heal", "oslo", "bergen")
    until(lambda: acknowledged(log, cut), 30, "orders do not go on")
    in_step(lab)


def _burns_and_loses_nothing(lab: AppliedLab, log: Path) -> None:
    off = time.time()
    lab.lab("power-off", "oslo")
    time.sleep(4)
    told = status(lab, "bergen")
    assert not told["sites"]["oslo"]["reachable"] and synchronous(told), told
    document = lab.json("bergen", f"{FAILOVER} {ACCEPT}")
    assert document["outcome"] == "completed", document["errors"]
    rpo = next(step for step in document["steps"] if step["name"] == "assess")["details"]["rpo"]
    assert rpo["synchronous"] and rpo["replicas"]["database"] == 0
    until(lambda: acknowledged(log, off + 4), 30, "commits hang after the promotion")
