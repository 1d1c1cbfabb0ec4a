"""Days on which a failover has fenced the old primary and cannot go on: the old primary serves again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, buys, recovered_at_bergen, until_buys, where_dns_points


def let_bergen_log_in_at_oslo(lab: AppliedLab) -> None:
    """What an operator may set up so that a fence works without the old site's agent."""
    key = Path(lab.info["ssh_key"])
    known = key.with_name("known_hosts").read_text()
    write = "install -m 700 -d /root/.ssh; cat > /root/.ssh/{0}; chmod 600 /root/.ssh/{0}"
    for name, text in (("id_ed25519", key.read_text()), ("known_hosts", known)):
        assert lab.said("bergen", write.format(name), stdin=text).returncode == 0


def until_told(lab: AppliedLab, seconds: float = 15) -> dict[str, Any]:
    """oslo's status, once its agent has heard from bergen's, which has just started, what was done there last."""
    deadline = time.monotonic() + seconds
    while (status := dict(lab.json("oslo", "secondsite status --json")))["last_procedure"] is None:
        assert time.monotonic() < deadline, "nobody tells oslo of the failover that was taken back"
        time.sleep(0.5)
    return status


@pytest.mark.parametrize("way", ["agent over the tunnel", "ssh"])
def test_a_fence_is_taken_back_where_the_standby_can_no_longer_take_over(ground: Ground, way: str) -> None:
    lab = ground.fresh()
    if way == "ssh":
        let_bergen_log_in_at_oslo(lab)
        lab.on("oslo", "systemctl stop secondsite-agent.service")
    lab.on("bergen", "systemctl stop secondsite-agent.service")
    assert lab.said("bergen", f"SECONDSITE_DIE_AT=files:applied {FAILOVER}; exit $?").returncode == 137
    assert not buys(lab), "oslo is fenced"
    lab.on("bergen", f"systemctl stop {lab.cluster.unit}")

    given_up = lab.said("bergen", "secondsite failover --resume --json")
    assert given_up.returncode == 3, given_up.stdout + given_up.stderr
    assert '"rolled_back"' in given_up.stdout and "standby-down" in given_up.stdout
    until_buys(lab)
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
    lab.on("bergen", f"systemctl start {lab.cluster.unit} secondsite-agent.service")
    lab.on("oslo", "systemctl start secondsite-agent.service")
    lab.until_ready()
    status = until_told(lab)
    assert status["last_procedure"]["outcome"] == "rolled_back" and status["last_procedure"]["site"] == "bergen"
    (told,) = (finding for finding in status["findings"] if finding["check"] == "last-procedure")
    assert status["last_procedure"]["id"] in told["message"] and "secondsite failover --to bergen" in told["hint"]


def test_somebody_who_reads_at_the_standby_does_not_hold_a_failover_up(ground: Ground) -> None:
    lab = ground.fresh()
    sql = "runuser -u postgres -- psql -XAtqc"
    lab.on("oslo", f"{sql} 'CREATE TABLE report (id int)'")
    lab.on(
        "bergen",
        f"{sql} 'ALTER SYSTEM SET max_standby_streaming_delay = -1' -c 'SELECT pg_reload_conf()';"
        f"until {sql} 'SELECT FROM report'; do sleep 0.2; done;"
        f"systemd-run -q --unit=reader {sql} 'BEGIN' -c 'SELECT FROM report' -c 'SELECT pg_sleep(600)'; sleep 0.5",
    )
    lab.on("oslo", f"{sql} 'DROP TABLE report'")
    assert buys(lab), "and what was bought is behind the drop, received and not replayed"
    lab.lab("power-off", "oslo")
    document = lab.json("bergen", f"{FAILOVER} {ACCEPT}")
    assert document["outcome"] == "completed", document["errors"]
    recovered_at_bergen(lab)
