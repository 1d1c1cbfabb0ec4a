"""The primary burns: the standby takes over, says what was lost, and the old primary comes back harmless."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import (
    ACCEPT,
    FAILOVER,
    Ground,
    accepts_writes,
    lost,
    recovered_at_bergen,
    shopping,
    until_bought,
    until_buys,
    where_dns_points,
)


def wait_for_role(lab: AppliedLab, host: str, roles: tuple[str, ...], seconds: float = 60) -> dict[str, object]:
    deadline = time.monotonic() + seconds
    while True:
        done = lab.said(host, "secondsite state --json")
        if done.returncode == 0:
            state = lab.json(host, "secondsite state --json")
            if state["agent_running"] and state["database"]["role"] in roles:
                return state
        assert time.monotonic() < deadline, f"{host}: {done.stdout} {done.stderr}"
        time.sleep(1)


def test_after_a_power_failure_one_command_brings_the_shop_back_and_the_old_primary_returns_harmless(
    ground: Ground, tmp_path: Path
) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(6)
        lab.lab("power-off", "oslo")
        time.sleep(6)
        status = lab.json("bergen", "secondsite status --json")
        assert not status["sites"]["oslo"]["reachable"]
        assert not status["ready"]
        document = lab.json("bergen", f"{FAILOVER} {ACCEPT}")
        assert document["outcome"] == "completed", document["errors"]
        until_buys(lab)
        time.sleep(2)
    recovered_at_bergen(lab)
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_acknowledged"] > 50
    assert len(found["orders_lost"]) <= 3
    assert document["fence"] == "unconfirmed"
    assert document["rpo"]["estimated_seconds"] is not None

    lab.lab("power-on", "oslo")
    state = wait_for_role(lab, "oslo", ("standby", "stopped"))
    assert "bergen" in str(state["guard_reason"])
    assert not accepts_writes(lab, "oslo")
    assert lab.said("oslo", "systemctl is-active shop.service").stdout.strip() != "active"
    log = lab.said("oslo", f"journalctl --no-pager -u {lab.cluster.unit}").stdout
    assert "stays read-only" in log
    guard = lab.json("oslo", "secondsite guard --json")
    assert guard["ruling"] == "hold"
    _it_is_told_as_what_it_is(lab)
    until_buys(lab)


def _it_is_told_as_what_it_is(lab: AppliedLab) -> None:
    """At both hosts: a former primary, and one thing to do about it."""
    deadline = time.monotonic() + 20
    for host in ("bergen", "oslo"):
        while not (status := lab.json(host, "secondsite status --json"))["sites"]["oslo"]["held"]:
            assert time.monotonic() < deadline, status["sites"]
            time.sleep(1)
        critical = [finding for finding in status["findings"] if finding["severity"] == "critical"]
        assert [finding["check"] for finding in critical] == ["former-primary"], critical
        assert status["sites"]["oslo"]["former_primary"] and "bergen" in critical[0]["message"]
        assert "secondsite failback" in critical[0]["hint"] and "--replace-standby oslo" in critical[0]["hint"]


def test_a_primary_that_answers_is_stopped_before_the_standby_takes_over_and_nothing_is_lost(
    ground: Ground, tmp_path: Path
) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(4)
        document = lab.json("bergen", FAILOVER)
        assert document["outcome"] == "completed", document["errors"]
        until_buys(lab)
    assert document["fence"] == "confirmed"
    recovered_at_bergen(lab)
    assert not accepts_writes(lab, "oslo")
    assert lab.said("oslo", "systemctl is-active shop.service").stdout.strip() != "active"
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []

    lab.said("oslo", f"systemctl start {lab.cluster.unit}")
    assert not accepts_writes(lab, "oslo"), "a fenced site stays fenced when somebody starts its database"


def test_a_failover_works_with_nothing_but_the_standby_and_without_its_agent(ground: Ground) -> None:
    lab = ground.fresh()
    lab.on("bergen", "systemctl stop secondsite-agent.service")
    lab.lab("power-off", "oslo")
    document = lab.json("bergen", f"{FAILOVER} {ACCEPT}")
    assert document["outcome"] == "completed", document["errors"]
    recovered_at_bergen(lab)


def test_the_old_primary_becomes_the_standby_by_apply_and_the_service_can_go_home_without_loss(
    ground: Ground, tmp_path: Path
) -> None:
    lab = ground.fresh()
    lab.lab("link", "cut", "oslo", "bergen")
    with shopping(lab, tmp_path / "unlucky.jsonl"):
        until_bought(tmp_path / "unlucky.jsonl")
        lab.lab("power-off", "oslo")
    lab.lab("link", "heal", "oslo", "bergen")
    assert lab.json("bergen", f"{FAILOVER} {ACCEPT}")["outcome"] == "completed"
    until_buys(lab)
    missing = lost(lab, tmp_path / "unlucky.jsonl")
    lost_orders, lost_files = set(missing["orders_lost"]), missing["files_lost"]
    lab.lab("power-on", "oslo")
    wait_for_role(lab, "oslo", ("standby", "stopped"))

    back = lab.json("oslo", "secondsite failover --to oslo --yes --json")
    assert {error["error"] for error in back["errors"]} == {"former-primary"}, "a former primary is not promoted"

    refused = subprocess.run(lab.operator("apply", "--yes", "--json"), capture_output=True, text=True, timeout=300)
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["error"] == "foreign-data-directory"
    replacing = ("--replace-standby", "oslo", "--json")
    planned, made = (
        json.loads(
            subprocess.run(lab.operator(*words, *replacing), check=True, timeout=300, capture_output=True).stdout
        )
        for words in (("plan",), ("apply", "--yes"))
    )
    shown = {(change["site"], change["resource"]) for change in planned["changes"]}
    assert {(change["site"], change["resource"]) for change in made["done"]} == shown, (
        "a plan shows all that apply does"
    )
    assert made["protection"]["message"], made
    deadline = time.monotonic() + 60
    while not lab.json("oslo", "secondsite status --json")["ready"]:
        assert time.monotonic() < deadline, lab.said("oslo", "secondsite status").stdout
        time.sleep(1)
    rows = map(json.loads, lab.on("oslo", "cat /var/lib/secondsite/database/lost/*/rows.jsonl").splitlines())
    found_again = {row["row"]["key"] for row in rows if row["table"] == "orders"}
    assert lost_orders and found_again >= lost_orders, "what bergen never received was written down for a person"
    told = subprocess.run(lab.operator("report", "--lost-rows"), check=True, capture_output=True, text=True, timeout=60)
    assert "public.orders" in told.stdout, told.stdout
    kept = lab.on("oslo", "find /var/lib/secondsite/aside -type f")
    assert lost_files and all(str(name) in kept for name in lost_files)

    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(4)
        home = lab.json("oslo", "secondsite failover --to oslo --yes --json")
        assert home["outcome"] == "completed", home["errors"]
        until_buys(lab)
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
