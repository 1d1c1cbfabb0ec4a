"""Clients that come through PgBouncer see no error in a switchover, whatever becomes of it: they wait, and go on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondsite.clock import from_text
from secondsite_lab import pooler
from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, until_buys
from tests.scenario.pooled import clients, target, unharmed
from tests.scenario.test_switchover import PAUSE, at_home, die, until_ready, wait_for_agent

A_LITTLE_SECONDS = 1.0  # how long the wait may be is measured on a quiet machine: `make bench-switchover`
HOSTS = ("oslo", "bergen")


@pytest.fixture(scope="module")
def pooled(ground: Ground) -> Iterator[AppliedLab]:
    """The applied lab with PgBouncer at both sites. Each test leaves the service at home, at oslo."""
    lab = ground.fresh()
    config = Path(lab.info["config"])
    before = config.read_text()
    try:
        pooler.install(lab)
        yield lab
    finally:
        config.write_text(before)


def paused_seconds(document: dict[str, Any]) -> float:
    """From the order to stop the writers to the moment at which PgBouncer was told to go on."""
    steps = {step["name"]: step for step in document["steps"]}
    began, ended = steps["close"]["started_at"], steps["pooler"]["ended_at"]
    return (from_text(ended) - from_text(began)).total_seconds()


def test_there_and_back_again_without_an_error_at_either_site(pooled: AppliedLab) -> None:
    lab = pooled
    for to, here, there in (("bergen", "10.10.0.2", "127.0.0.1"), ("oslo", "127.0.0.1", "10.10.0.1")):
        with clients(lab, *HOSTS) as stop:
            document = lab.json(to, f"secondsite switchover --to {to} --yes --json")
            assert document["outcome"] == "completed", document.get("errors", document)
            time.sleep(1)
            seen = stop()
        unharmed(seen)
        assert seen["longest_wait_seconds"] < paused_seconds(document) + A_LITTLE_SECONDS
        assert (target(lab, "oslo"), target(lab, "bergen")) == (f"{here}|0", f"{there}|0")
        at_home(lab, to)
        until_ready(lab, to)


def test_killed_while_clients_wait_they_go_on_when_it_is_resumed(pooled: AppliedLab) -> None:
    lab = pooled
    with clients(lab, *HOSTS) as stop:
        die(lab, "close:applied")
        lab.on("oslo", "systemctl kill --signal=KILL secondsite-agent.service; systemctl start secondsite-agent")
        time.sleep(4)  # the agents are back, and keep their hands off: nobody can serve the clients yet
        assert (target(lab, "oslo"), target(lab, "bergen")) == ("127.0.0.1|1", "10.10.0.1|1")
        resumed = lab.json("bergen", "secondsite switchover --resume --json")
        assert resumed["outcome"] == "completed", resumed["errors"]
        time.sleep(1)
        unharmed(stop())
    at_home(lab, "bergen")
    until_ready(lab, "bergen")
    back = lab.json("oslo", "secondsite switchover --to oslo --yes --json")
    assert back["outcome"] == "completed", back.get("errors", back)
    until_ready(lab, "oslo")


def test_rolled_back_the_clients_go_on_with_the_old_primary(pooled: AppliedLab) -> None:
    lab = pooled
    with clients(lab, *HOSTS) as stop:
        die(lab, "stop:applied")
        lab.on("bergen", PAUSE.format("pause"))
        resumed = lab.json("bergen", "secondsite switchover --resume --json")
        assert resumed["outcome"] == "rolled_back", resumed
        time.sleep(1)
        unharmed(stop())
    lab.on("bergen", PAUSE.format("resume"))
    assert (target(lab, "oslo"), target(lab, "bergen")) == ("127.0.0.1|0", "10.10.0.1|0")
    until_ready(lab, "oslo")


def test_a_long_transaction_refuses_it_before_anything_is_touched(pooled: AppliedLab) -> None:
    lab = pooled
    long = subprocess.Popen(
        lab.world("psql", pooler.dsn_of(lab, "oslo"), "-X", "-c", "SELECT pg_sleep(60)"), stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(3)
        with clients(lab, "oslo") as stop:
            refused = lab.json("bergen", "secondsite switchover --yes --json")
            assert [fault["check"] for fault in refused["faults"]] == ["transactions"]
            unharmed(stop())
    finally:
        long.kill()
        long.wait(timeout=10)
    lab.on("oslo", "runuser -u postgres -- psql -XAtqc \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
           " WHERE query LIKE 'SELECT pg_sleep%'\"")  # fmt: skip


def test_an_apply_puts_back_what_somebody_has_changed_and_readiness_tells_it(pooled: AppliedLab) -> None:
    lab = pooled
    lab.on("bergen", "sed -i s/10.10.0.1/127.0.0.1/ /etc/pgbouncer/secondsite.ini; systemctl reload pgbouncer")
    deadline = time.monotonic() + 20
    while not _told(lab, "pooler-target"):
        assert time.monotonic() < deadline, "readiness does not tell it"
    impatient(lab)
    subprocess.run(lab.operator("apply", "--yes"), check=True, timeout=300, stderr=subprocess.DEVNULL)
    assert target(lab, "bergen") == "10.10.0.1|0"
    until_ready(lab, "oslo")
    again = subprocess.run(lab.operator("plan", "--json"), capture_output=True, text=True, timeout=120)
    assert "pgbouncer" not in again.stdout.lower(), again.stdout


def impatient(lab: AppliedLab) -> None:
    """A client of bergen's PgBouncer would wait five seconds at most; found, and mended."""
    file, line = "/etc/pgbouncer/pgbouncer.ini", "query_wait_timeout = 5"
    lab.on("bergen", f"sed -i '/^pool_mode/a {line}' {file}; systemctl reload pgbouncer")
    for found in (True, False):
        deadline = time.monotonic() + 20
        while _told(lab, "pooler-waits") is not found:
            assert time.monotonic() < deadline, "told" if not found else "not told"
            time.sleep(0.2)
        lab.on("bergen", f"sed -i '/^{line}$/d' {file}; systemctl reload pgbouncer")


def _told(lab: AppliedLab, check: str) -> bool:
    status = lab.json("oslo", "secondsite status --json")
    return any(finding["check"] == check for finding in status["findings"])


def test_in_a_disaster_the_survivor_serves_and_the_old_site_sends_nobody_anywhere_wrong(pooled: AppliedLab) -> None:
    lab = pooled
    dsn = pooler.dsn_of(lab, "oslo")
    with clients(lab, "bergen") as stop:
        burned = time.time()
        lab.lab("power-off", "oslo")
        time.sleep(4)
        lab.on("bergen", "systemctl stop secondsite-agent.service")
        killed = lab.said("bergen", f"SECONDSITE_DIE_AT=pooler:applied {FAILOVER} {ACCEPT}; exit $?")
        assert killed.returncode == 137, killed.stdout + killed.stderr
        lab.on("bergen", "systemctl start secondsite-agent.service")
        took = lab.json("bergen", f"{FAILOVER} {ACCEPT} --resume")
        assert took["outcome"] == "completed", took["errors"]
        time.sleep(2)
        seen = stop()
    assert target(lab, "bergen") == "127.0.0.1|0"
    # There may be errors: whoever was in a transaction with the site that burned. And what was acknowledged just before
    # may be lost with it, in mode async; a row's name begins with its moment.
    assert all(burned - 1 < float(name.split("-")[0]) < burned + 1 for name in seen["lost"]), (burned, seen["lost"])
    assert _writes(lab, pooler.dsn_of(lab, "bergen"))
    until_buys(lab)
    lab.lab("power-on", "oslo")
    wait_for_agent(lab, "oslo")
    assert not _writes(lab, dsn)


def _writes(lab: AppliedLab, dsn: str) -> bool:
    """Whether a client that comes through PgBouncer can write."""
    write = "CREATE TABLE tried (); DROP TABLE tried"
    argv = lab.world("timeout", "20", "psql", dsn, "-X", "-c", write)
    return subprocess.run(argv, capture_output=True, timeout=30).returncode == 0
