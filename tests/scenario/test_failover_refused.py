"""Days on which a failover must not begin: it says why, and everything is as it was."""

from __future__ import annotations

from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, buys, where_dns_points

STREAMS = "runuser -u postgres -- psql -XAtqc 'SELECT status FROM pg_stat_wal_receiver'"


def sql(statement: str) -> str:
    return f"runuser -u postgres -- psql -XAtqc '{statement}'"


def refused(lab: AppliedLab, command: str, slug: str) -> dict[str, object]:
    """The command ends with 3, one error of that slug with host and next step, and no traceback."""
    done = lab.said("bergen", command)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    document = lab.json("bergen", command)
    (error,) = document.get("errors") or [document]
    assert error["error"] == slug
    assert error["host"] and error["hint"]
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
    return dict(error)


def test_an_unconfirmed_fence_is_not_accepted_silently_and_the_standby_goes_on_streaming(ground: Ground) -> None:
    lab = ground.fresh()
    lab.lab("link", "cut", "oslo", "bergen")
    error = refused(lab, FAILOVER, "fence-unconfirmed")
    assert "--accept-unconfirmed-fence" in str(error["hint"])
    assert buys(lab), "the primary still serves its users"
    lab.lab("link", "heal", "oslo", "bergen")
    lab.until_ready()
    assert lab.on("bergen", STREAMS).strip() == "streaming"


def test_a_paused_replay_is_asked_about_first(ground: Ground) -> None:
    lab = ground.fresh()
    lab.on("bergen", sql("SELECT pg_wal_replay_pause()"))
    refused(lab, f"{FAILOVER} {ACCEPT}", "replay-paused")
    lab.lab("power-off", "oslo")
    document = lab.json("bergen", f"{FAILOVER} {ACCEPT} --resume-replay")
    assert document["outcome"] == "completed", document["errors"]


def test_a_stopped_standby_cannot_take_over_and_the_message_says_how_to_start_it(ground: Ground) -> None:
    lab = ground.fresh()
    lab.on("bergen", f"systemctl stop {lab.cluster.unit}")
    error = refused(lab, f"{FAILOVER} {ACCEPT}", "standby-down")
    assert f"systemctl start {lab.cluster.unit.removesuffix('.service')}" in str(error["hint"])
    assert buys(lab)


def test_a_site_that_is_already_primary_has_nothing_to_take_over(ground: Ground) -> None:
    lab = ground.fresh()
    done = lab.said("oslo", "secondsite failover --to oslo --yes")
    assert done.returncode == 3
    assert "already accepts writes" in done.stdout + done.stderr
    assert buys(lab)


def test_without_a_terminal_and_without_yes_nothing_begins(ground: Ground) -> None:
    lab = ground.fresh()
    done = lab.said("bergen", "secondsite failover --to bergen")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert buys(lab)
