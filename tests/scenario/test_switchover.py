"""A planned move loses nothing, there and back again; where it cannot be done, everything is as it was."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli.schemas import conforms
from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import Ground, accepts_writes, buys, lost, shopping, until_buys, where_dns_points
from tests.scenario.matrix import some

OTHER = {"oslo": "bergen", "bergen": "oslo"}
SLOTS = "runuser -u postgres -- psql -XAtqc 'SELECT slot_name, active FROM pg_replication_slots ORDER BY 1'"
PAUSE = "runuser -u postgres -- psql -XAtqc 'SELECT pg_wal_replay_{}()'"


def move(lab: AppliedLab, to: str, *more: str) -> dict[str, Any]:
    """A switchover that completes, and everything that it promises."""
    document = lab.json(to, " ".join(["secondsite switchover --yes --json", *more]))
    assert document.get("outcome") == "completed", document.get("errors", document)
    conforms("procedure", document)
    at_home(lab, to)
    return document


def at_home(lab: AppliedLab, primary: str) -> None:
    """The service is at ``primary`` and nowhere else, with the other site behind it."""
    standby = OTHER[primary]
    assert where_dns_points(lab) == lab.info["hosts"][primary]["address"]
    assert accepts_writes(lab, primary) and not accepts_writes(lab, standby)
    assert lab.said(standby, "systemctl is-active shop.service").stdout.strip() != "active"
    until_buys(lab)
    assert lab.on(primary, SLOTS).split() == [f"secondsite_{standby}|t"]
    assert lab.on(standby, SLOTS).split() == []


def until_ready(lab: AppliedLab, primary: str, seconds: float = 45) -> dict[str, Any]:
    """Wait until both hosts agree that all is well."""
    deadline = time.monotonic() + seconds
    while True:
        seen = {host: lab.json(host, "secondsite status --json") for host in OTHER}
        if all(status["ready"] and status["primary"] == primary for status in seen.values()):
            return seen["oslo"]
        found = {host: [finding["message"] for finding in status["findings"]] for host, status in seen.items()}
        assert time.monotonic() < deadline, json.dumps(found)
        time.sleep(0.5)


def test_there_and_back_again_twice_without_losing_an_order_or_a_file(ground: Ground, tmp_path: Path) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(2)
        for turn, to in enumerate(("bergen", "oslo", "bergen", "oslo")):
            document = move(lab, to)
            assert document["outage_seconds"] < 5
            assert document["rpo"]["proof"]["timeline"] == turn + 1
            status = until_ready(lab, to)
            assert status["generation"] == turn + 2
            assert {replica["state"] for replica in status["replicas"]} <= {"streaming", "current", "pulling"}
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_acknowledged"] > 100
    assert found["orders_lost"] == [] and found["files_lost"] == []
    for host in OTHER:
        assert lab.said(host, "secondsite journal --verify").returncode == 0


def test_after_a_move_the_new_standby_takes_over_in_a_disaster(ground: Ground, tmp_path: Path) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        move(lab, "bergen")
        until_ready(lab, "bergen")
        lab.lab("power-off", "bergen")
        time.sleep(4)
        took = lab.json("oslo", "secondsite failover --to oslo --yes --accept-unconfirmed-fence --json")
        assert took["outcome"] == "completed", took["errors"]
        until_buys(lab)
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
    assert len(lost(lab, tmp_path / "customer.jsonl")["orders_lost"]) <= 3


def test_from_a_laptop_and_from_the_old_primary_and_what_to_expect_is_told_first(ground: Ground) -> None:
    lab = ground.fresh()
    unknown = lab.json("oslo", "secondsite switchover --dry-run --json")
    assert (unknown["to"], unknown["outage"]["expected_seconds"], unknown["faults"]) == ("bergen", None, [])
    asked = subprocess.run(lab.operator("switchover", "--yes", "--json"), capture_output=True, text=True, timeout=180)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    at_home(lab, "bergen")
    until_ready(lab, "bergen")
    known = lab.json("bergen", "secondsite switchover --to oslo --dry-run --json")
    measured = json.loads(asked.stdout)["outage_seconds"]
    assert known["outage"]["expected_seconds"] == pytest.approx(measured, abs=0.001)
    relayed = lab.json("bergen", "secondsite switchover --yes --json")
    assert relayed["outcome"] == "completed", relayed
    at_home(lab, "oslo")


def test_every_fault_is_told_at_once_and_nothing_is_touched(ground: Ground) -> None:
    lab = ground.fresh()
    lab.on("bergen", PAUSE.format("pause"))
    lab.on("bergen", "mv /etc/systemd/system/shop.service /root/; systemctl daemon-reload")
    before = lab.on("oslo", f"systemctl show --property=ActiveEnterTimestamp shop.service {lab.cluster.unit}")
    refused = lab.said("bergen", "secondsite switchover --yes --json")
    assert refused.returncode == 3, refused.stdout
    document = json.loads(refused.stdout)
    assert {fault["check"] for fault in document["faults"]} >= {"replay", "application"}
    assert {error["error"] for error in document["errors"]} == {"switchover-refused"}
    assert "ActiveEnter" in before
    assert before == lab.on("oslo", f"systemctl show --property=ActiveEnterTimestamp shop.service {lab.cluster.unit}")
    assert buys(lab)
    preview = lab.said("bergen", "secondsite switchover --dry-run")
    assert preview.returncode == 3
    assert "replay is paused" in preview.stdout and "no unit shop.service" in preview.stdout


def die(lab: AppliedLab, place: str) -> None:
    """Begin a switchover to bergen that dies at ``place``."""
    lab.on("bergen", "systemctl stop secondsite-agent.service")
    killed = lab.said("bergen", f"SECONDSITE_DIE_AT={place} secondsite switchover --to bergen --yes --json; exit $?")
    assert killed.returncode == 137, killed.stdout + killed.stderr
    lab.on("bergen", "systemctl start secondsite-agent.service")


def test_a_standby_that_cannot_prove_equality_gives_everything_back(ground: Ground, tmp_path: Path) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(2)
        die(lab, "stop:applied")
        assert not accepts_writes(lab, "oslo") and not accepts_writes(lab, "bergen")
        lab.on("bergen", PAUSE.format("pause"))
        resumed = lab.said("bergen", "secondsite switchover --resume --json")
        assert resumed.returncode == 3, resumed.stdout
        assert json.loads(resumed.stdout)["outcome"] == "rolled_back"
        until_buys(lab)
    lab.on("bergen", PAUSE.format("resume"))
    at_home(lab, "oslo")
    until_ready(lab, "oslo")
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []
    move(lab, "bergen")


HOOK = "/etc/systemd/system/shop.service.d/test.conf"


@pytest.mark.parametrize("accident", ["stop secondsite-files.service", "kill --signal=KILL secondsite-agent.service"])
def test_an_accident_while_the_writers_are_stopped_gives_everything_back_by_itself(
    ground: Ground, tmp_path: Path, accident: str
) -> None:
    lab = ground.fresh()
    hook = f"[Service]\\nExecStopPost=+/usr/bin/systemctl {accident}\\n"
    lab.on("oslo", f"mkdir -p $(dirname {HOOK}); printf '{hook}' > {HOOK}; systemctl daemon-reload")
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(2)
        failed = lab.said("bergen", "secondsite switchover --yes --json")
        assert failed.returncode == 3, failed.stdout
        document = json.loads(failed.stdout)
        assert document["outcome"] == "rolled_back"
        assert document["errors"] and document["outage_seconds"] is None
        until_buys(lab)
    lab.on("oslo", f"rm {HOOK}; systemctl daemon-reload; systemctl start secondsite-files.service")
    until_ready(lab, "oslo")
    at_home(lab, "oslo")
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []
    move(lab, "bergen")


# Before the promotion it is taken back, behind it there is no way but forward.
REBOOTS = {"close:applied": "rolled_back", "stop:applied": "rolled_back", "promote:applied": "completed"}


@pytest.mark.parametrize("place", some(list(REBOOTS), 2, always=("stop:applied", "promote:applied")))
def test_an_old_primary_that_reboots_in_the_middle_accepts_no_write_before_it_is_decided(
    ground: Ground, tmp_path: Path, place: str
) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(2)
        die(lab, place)
        lab.lab("power-off", "oslo")
        lab.lab("power-on", "oslo")
        wait_for_agent(lab, "oslo")
        assert not accepts_writes(lab, "oslo")
        resumed = lab.json("bergen", "secondsite switchover --resume --json")
        assert resumed["outcome"] == REBOOTS[place], resumed["errors"]
        until_buys(lab)
    primary = "bergen" if resumed["outcome"] == "completed" else "oslo"
    until_ready(lab, primary)
    at_home(lab, primary)
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []


def wait_for_agent(lab: AppliedLab, host: str, seconds: float = 60) -> None:
    """Wait until the host is back and its agent has seen its database."""
    deadline = time.monotonic() + seconds
    while True:
        done = lab.said(host, "secondsite state --json")
        if done.returncode == 0 and json.loads(done.stdout)["database"]["role"] in ("standby", "primary"):
            return
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.5)


def until_streaming(lab: AppliedLab, host: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (state := lab.json(host, "secondsite state --json")["database"])["streaming"] != "streaming":
        assert time.monotonic() < deadline, state
        time.sleep(0.5)


def test_an_old_primary_that_is_lost_behind_the_promotion_is_attached_when_it_is_back(ground: Ground) -> None:
    lab = ground.fresh()
    die(lab, "prove:applied")
    lab.lab("power-off", "oslo")
    half = lab.said("bergen", "secondsite switchover --resume --json")
    assert half.returncode == 4, half.stdout
    document = json.loads(half.stdout)
    assert document["outcome"] == "blocked"
    assert any("secondsite switchover --resume" in str(error["hint"]) for error in document["errors"])
    until_buys(lab)
    lab.lab("power-on", "oslo")
    wait_for_agent(lab, "oslo")
    resumed = lab.json("bergen", "secondsite switchover --resume --json")
    assert resumed["outcome"] == "completed", resumed["errors"]
    until_ready(lab, "bergen")
    at_home(lab, "bergen")


def test_a_primary_that_was_stopped_for_a_site_that_burned_is_opened_by_a_person(
    ground: Ground, tmp_path: Path
) -> None:
    lab = ground.fresh()
    with shopping(lab, tmp_path / "customer.jsonl"):
        time.sleep(2)
        die(lab, "stop:applied")
        lab.lab("power-off", "bergen")
        assert lab.said("oslo", "secondsite guard").returncode == 1
        lab.on("oslo", "secondsite guard --allow --yes")
        until_buys(lab)
        assert accepts_writes(lab, "oslo")
    lab.lab("power-on", "bergen")
    wait_for_agent(lab, "bergen")
    until_streaming(lab, "bergen")  # READY it need not be: it may have died with its files writable
    resumed = lab.json("bergen", "secondsite switchover --resume --json")
    assert resumed["outcome"] in ("completed", "rolled_back"), resumed["errors"]
    at_home(lab, "bergen" if resumed["outcome"] == "completed" else "oslo")
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []


def test_a_disaster_in_the_middle_is_answered_by_a_failover(ground: Ground) -> None:
    lab = ground.fresh()
    die(lab, "stop:applied")
    lab.lab("power-off", "oslo")
    took = lab.json("bergen", "secondsite failover --to bergen --yes --accept-unconfirmed-fence --json")
    assert took["outcome"] == "completed", took
    assert accepts_writes(lab, "bergen")
    until_buys(lab)
