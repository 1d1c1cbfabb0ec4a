"""Debian 13 with PostgreSQL 17, one lab from end to end: apply, a killed move, a disaster, the way home.

A logical slot goes along all the way. Everything else runs on Debian 13 too, with ``make scenario SUITE=trixie``.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite_lab.applied import AppliedLab, applied
from tests.scenario.ground import ACCEPT, accepts_writes, lost, shopping, until_buys, where_dns_points
from tests.scenario.test_failover_disaster import wait_for_role
from tests.scenario.test_switchover import OTHER, until_ready

COPIES = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' AND synced AND NOT temporary"
# Takes what there is, all the time: a copy at the standby is ready once the slot has moved on from where it was made.
CONSUMER = (
    "while true; do psql -XAtqc \"SELECT count(*) FROM pg_logical_slot_get_changes('kept', NULL, NULL)\"; sleep 1; done"
)
OWN = "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND NOT synced"


@pytest.fixture(scope="module")
def lab() -> Iterator[AppliedLab]:
    with applied(f"pg17-{os.getpid() % 10000}", suite="trixie", kept=False) as ready:
        yield ready


def sql(lab: AppliedLab, host: str, *statements: str) -> str:
    """What the database of a host answers."""
    argv = ["runuser", "-u", "postgres", "--", "psql", "-XAtqv", "ON_ERROR_STOP=1"]
    return lab.lab("exec", host, "--", *argv, *(word for one in statements for word in ("-c", one))).strip()


def slot(lab: AppliedLab, name: str, *, failover: bool) -> None:
    marked = "true" if failover else "false"
    sql(lab, "oslo", f"SELECT pg_create_logical_replication_slot('{name}', 'test_decoding', false, false, {marked})")


def told(lab: AppliedLab, site: str) -> list[tuple[str, str, str]]:
    """What readiness says of logical slots, both agents having just looked."""
    for host in OTHER:
        lab.on(host, "systemctl restart secondsite-agent.service")
    until_ready(lab, site)
    found = lab.json(site, "secondsite readiness --json")["findings"]
    return [(one["severity"], one["message"], one["hint"]) for one in found if one["check"] == "logical-slots"]


def until_copied(lab: AppliedLab, primary: str, seconds: float = 90) -> None:
    """Wait until the standby has a copy that is ready; the slot's consumer moves on meanwhile."""
    deadline = time.monotonic() + seconds
    while sql(lab, OTHER[primary], COPIES) != "kept":
        assert time.monotonic() < deadline, lab.said(OTHER[primary], "tail -n 30 /var/log/postgresql/*.log").stdout
        sql(lab, primary, "SELECT pg_log_standby_snapshot()")
        sql(lab, primary, "SELECT count(*) FROM pg_logical_slot_get_changes('kept', NULL, NULL)")
        time.sleep(0.5)


def tells(lab: AppliedLab, primary: str, text: str) -> bool:
    """Whether the slot's consumer hears of a change at its new place."""
    changes = sql(lab, primary, "SELECT data FROM pg_logical_slot_get_changes('kept', NULL, NULL)")
    return f"'{text}'" in changes


def say(lab: AppliedLab, primary: str, text: str) -> None:
    sql(lab, primary, f"INSERT INTO news VALUES ('{text}')")


def ask_for_copies(lab: AppliedLab) -> None:
    """What a person does: one line in the file, and apply."""
    file = Path(lab.info["config"])
    file.write_text(file.read_text().replace("[database]\n", "[database]\nkeep_logical_slots = true\n"))
    done = subprocess.run(lab.operator("apply", "--yes", "--json"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    again = subprocess.run(lab.operator("apply", "--json"), capture_output=True, text=True, timeout=300)
    assert json.loads(again.stdout)["outcome"] == "unchanged", again.stdout


def test_a_server_that_refuses_alter_system_is_found_before_a_failover_needs_it(lab: AppliedLab) -> None:
    file = f"/etc/postgresql/{lab.cluster}/conf.d/zz.conf"
    lab.on("bergen", f"echo 'allow_alter_system = off' > {file}; systemctl reload {lab.cluster.unit}")
    assert sql(lab, "bergen", "SHOW allow_alter_system") == "off"
    lab.on("bergen", "systemctl restart secondsite-agent.service")
    try:
        until_asked(lab, "alter-system", found=True)
    finally:
        lab.on("bergen", f"rm {file}; systemctl reload {lab.cluster.unit}; systemctl restart secondsite-agent.service")
    until_asked(lab, "alter-system", found=False)


def until_asked(lab: AppliedLab, check: str, *, found: bool, seconds: float = 30) -> None:
    """Wait until readiness has asked it, and has found it or not."""
    deadline = time.monotonic() + seconds
    while True:
        told = lab.json("bergen", "secondsite readiness --json")
        (one,) = (each for each in told["checks"] if each["check"] == check)
        if one["answer"] == ("no" if found else "yes"):
            return
        assert time.monotonic() < deadline, one
        time.sleep(0.3)


def test_a_service_on_postgresql_17_is_moved_burns_and_comes_home_and_its_logical_slot_with_it(
    lab: AppliedLab, tmp_path: Path
) -> None:
    assert sql(lab, "oslo", "SHOW server_version_num").startswith("17")
    ask_for_copies(lab)
    sql(lab, "oslo", "CREATE TABLE news (text text)")
    slot(lab, "kept", failover=True)
    slot(lab, "plain", failover=False)
    until_copied(lab, "oslo")
    found = {severity: (message, hint) for severity, message, hint in told(lab, "oslo")}
    assert "takes the logical slots kept along" in found["info"][0]
    assert "loses the logical slots plain" in found["warning"][0] and "failover = true" in found["warning"][1]
    refused = lab.json("bergen", "secondsite switchover --yes --json")
    assert any("logical slot plain would not move along" in str(error) for error in refused["errors"]), refused
    sql(lab, "oslo", "SELECT pg_drop_replication_slot('plain')")

    say(lab, "oslo", "before the move")
    moved_through_a_kill(lab, tmp_path / "move.jsonl")
    assert tells(lab, "bergen", "before the move"), "nobody had heard of it before"
    assert sql(lab, "oslo", OWN) == "0", "what its time as primary has left stands in the way of copies"
    until_copied(lab, "bergen")

    say(lab, "bergen", "before the fire")
    burnt(lab, tmp_path / "fire.jsonl")
    assert tells(lab, "oslo", "before the fire")

    brought_home(lab, tmp_path / "home.jsonl")
    say(lab, "bergen", "at home")
    assert tells(lab, "bergen", "at home")


def moved_through_a_kill(lab: AppliedLab, log: Path) -> None:
    """To bergen; the procedure dies right after the promotion and is taken up."""
    with shopping(lab, log):
        time.sleep(1)
        lab.on("bergen", "systemctl stop secondsite-agent.service")
        dying = "SECONDSITE_DIE_AT=promote:applied secondsite switchover --to bergen --yes --json; exit $?"
        killed = lab.said("bergen", dying)
        assert killed.returncode == 137, killed.stdout + killed.stderr
        lab.on("bergen", "systemctl start secondsite-agent.service")
        resumed = lab.json("bergen", "secondsite switchover --resume --json")
        assert resumed["outcome"] == "completed", resumed["errors"]
        until_buys(lab)
    until_ready(lab, "bergen")
    assert accepts_writes(lab, "bergen") and not accepts_writes(lab, "oslo")
    found = lost(lab, log)
    assert found["orders_lost"] == [] and found["files_lost"] == []


def burnt(lab: AppliedLab, log: Path) -> None:
    """Bergen loses its power; oslo takes over."""
    with shopping(lab, log):
        time.sleep(3)
        lab.lab("power-off", "bergen")
        document = lab.json("oslo", f"secondsite failover --to oslo --yes --json {ACCEPT}")
        assert document["outcome"] == "completed", document["errors"]
        until_buys(lab)
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
    assert len(lost(lab, log)["orders_lost"]) <= 3


def brought_home(lab: AppliedLab, log: Path) -> None:
    """Bergen comes back, is rewound, and is primary again by one command."""
    lab.lab("power-on", "bergen")
    wait_for_role(lab, "bergen", ("standby", "stopped"))
    assert not accepts_writes(lab, "bergen")
    lab.on("oslo", f"systemd-run --quiet --unit=consumer --uid=postgres bash -c {shlex.quote(CONSUMER)}")
    with shopping(lab, log):
        done = subprocess.run(lab.operator("failback", "--yes", "--json"), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        until_buys(lab)
    document = json.loads(done.stdout)
    assert any("pg_rewind" in change["summary"] for change in document["rejoin"]["done"])
    assert where_dns_points(lab) == lab.info["hosts"]["bergen"]["address"]
    lab.on("oslo", "systemctl stop consumer.service")
    found = lost(lab, log)
    assert found["orders_lost"] == [] and found["files_lost"] == []
