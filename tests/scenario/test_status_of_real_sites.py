"""Status and readiness on real hosts: well, with a dead primary, with a dead agent, over SSH and on the host."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from secondsite.cli.schemas import conforms
from tests.scenario.conftest import Lab, Ran

HOST_SECONDS = 0.4


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def on_host(lab: Lab, host: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(lab.on(host, "secondsite status --json || true"))
    return told


def critical(status: dict[str, Any]) -> set[str]:
    return {finding["check"] for finding in status["findings"] if finding["severity"] == "critical"}


def test_before_the_first_apply_nobody_says_yes_to_what_could_not_be_seen(fresh: Lab) -> None:
    _nothing_to_see_is_no_yes(fresh)


def test_status_tells_the_truth_through_a_dead_agent_and_a_dead_primary(applied: Lab) -> None:
    until(lambda: bool(on_host(applied, "bergen")["ready"]))
    _both_places_agree(applied)
    _a_changed_file_is_at_the_standby_at_once(applied)
    _a_dead_agent_is_told_and_hides_nothing(applied)
    _a_paused_replay_is_no_readiness(applied)
    _verify_from_everywhere_finds_the_copy_equal(applied)
    _a_file_that_rots_is_found_and_told_until_it_is_whole_again(applied)
    _a_dead_primary_is_told_from_everywhere_within_seconds(applied)


def _nothing_to_see_is_no_yes(lab: Lab) -> None:
    """One host answers and has nothing installed, the other one is off."""
    lab.lab("power-off", "bergen")
    told = lab.run("readiness", "--json").expect(1).document
    conforms("readiness", told)
    assert {check["check"] for check in told["checks"] if check["answer"] == "no"} == {"reachable"}
    assert not [check for check in told["checks"] if check["answer"] == "yes" or check["ok"]]
    hints = {finding["site"]: finding["hint"] for finding in told["findings"] if finding["check"] == "reachable"}
    assert all("secondsite apply" in hint for hint in hints.values()) and "network" not in hints["oslo"]
    assert "not seen" in lab.run("readiness").expect(1).out


def _both_places_agree(lab: Lab) -> None:
    here, there = on_host(lab, "oslo"), lab.run("status", "--json").expect(0).document
    for status in (here, there):
        conforms("status", status)
        assert status["sites"]["oslo"]["role"] == "primary" and status["sites"]["bergen"]["role"] == "standby"
        assert status["sites"]["bergen"]["database"]["state"] == "streaming"
        assert 0 <= status["rpo"]["estimated_seconds"] < 10
    lab.run("readiness").expect(0)
    (fence,) = (finding for finding in there["findings"] if finding["check"] == "fence-commands")
    assert (fence["site"], fence["severity"]) == ("bergen", "warning"), "it is the lab's machine that has this command"
    assert "sites.oslo.power.off" in fence["message"]
    state = json.loads(lab.on("oslo", "secondsite state --json"))
    assert state["agent_running"] and state["database"]["role"] == "primary"
    if os.getloadavg()[0] < (os.cpu_count() or 1):  # a busy machine says nothing about us
        told = lab.on("oslo", "for n in 1 2 3 4 5; do s=$(date +%s.%N); secondsite status --json >/dev/null || true; "
                      "e=$(date +%s.%N); echo \"$e - $s\" | python3 -c 'print(eval(input()))'; done")  # fmt: skip
        assert min(float(line) for line in told.split()) < HOST_SECONDS


def _a_changed_file_is_at_the_standby_at_once(lab: Lab) -> None:
    """By the stream: a pull each interval would take longer."""
    until(lambda: {one["kept"] for one in on_host(lab, "bergen")["replicas"] if one["kind"] == "files"} == {"stream"})
    took = []
    for number in range(5):
        began = time.monotonic()
        lab.on("oslo", f"echo {number} > /srv/shop/uploads/at-once-{number}")
        lab.on("bergen", f"until grep -qs {number} /srv/shop/uploads/at-once-{number}; do sleep 0.01; done", timeout=30)
        took.append(time.monotonic() - began)
    assert min(took) < 1.5, took


def _a_dead_agent_is_told_and_hides_nothing(lab: Lab) -> None:
    lab.on("bergen", "systemctl stop secondsite-agent")
    status = on_host(lab, "bergen")
    assert "agent" in critical(status)
    assert status["sites"]["bergen"]["database"]["state"] == "streaming"
    assert status["sites"]["oslo"]["reachable"]
    until(lambda: "reachable" in critical(on_host(lab, "oslo")), 15)
    assert "agent" in critical(lab.run("status", "--json").expect(1).document)
    lab.on("bergen", "systemctl start secondsite-agent")
    until(lambda: bool(on_host(lab, "oslo")["ready"]))


def _a_paused_replay_is_no_readiness(lab: Lab) -> None:
    ask = "runuser -u postgres -- psql -qAtc"
    lab.on("bergen", f"{ask} 'select pg_wal_replay_pause()'")
    until(lambda: "replay-paused" in critical(on_host(lab, "bergen")), 10)
    time.sleep(3)
    status = on_host(lab, "oslo")
    assert status["replicas"][0]["state"] == "paused"
    assert status["rpo"]["estimated_seconds"] < 10  # what is received is not lost
    lab.on("bergen", f"{ask} 'select pg_wal_replay_resume()'")
    until(lambda: bool(on_host(lab, "bergen")["ready"]))


def _verify_from_everywhere_finds_the_copy_equal(lab: Lab) -> None:
    """The heartbeat may have a gap, because the lab was put back to an earlier moment: it does not count here."""
    told = [lab.run("verify", "--full", "--json")]
    for host in ("oslo", "bergen"):
        out = lab.on(host, "secondsite verify --only database --seed 3 --json || test $? = 1")
        told.append(Ran(0, out, "", 0.0))
    for ran in told:
        document = ran.document
        conforms("verify", document)
        assert (document["primary"], document["standby"]) == ("oslo", "bergen")
        found = {check["check"]: check for check in document["checks"] if check["kind"] != "heartbeat"}
        assert found["table shop: public.orders"]["outcome"] == "equal", found["table shop: public.orders"]
        assert not [check for check in found.values() if check["outcome"] == "different"], found
    files = [check for check in told[0].document["checks"] if check["kind"] == "files"]
    assert [check["outcome"] for check in files] == ["equal"], files
    lab.on("bergen", "systemctl stop secondsite-agent; secondsite verify --only database || test $? = 1")
    lab.on("bergen", "systemctl start secondsite-agent")
    until(lambda: bool(on_host(lab, "oslo")["ready"]))


def _a_file_that_rots_is_found_and_told_until_it_is_whole_again(lab: Lab) -> None:
    """Same size, same time, other content: no mirroring by size and time ever sees it."""
    path = lab.info["app"]["upload_path"]
    lab.on("oslo", f"echo sound > {path}/rots.txt")
    until(lambda: "sound" in lab.on("bergen", f"cat {path}/rots.txt || true"))
    write = f"printf rotte | dd of={path}/rots.txt conv=notrunc"
    lab.on("bergen", f"touch -r {path}/rots.txt /tmp/t; {write}; touch -r /tmp/t {path}/rots.txt")
    ran = lab.run("verify", "--only", "files", "--json").expect(1)
    (check,) = ran.document["checks"]
    assert check["outcome"] == "different" and check["evidence"]["wrong"] == ["rots.txt"], check
    until(lambda: "verified" in critical(on_host(lab, "bergen")))
    lab.on("bergen", f"rm {path}/rots.txt")
    lab.run("verify", "--only", "files").expect(0)  # what is missing here is fetched before it is judged
    assert "sound" in lab.on("bergen", f"cat {path}/rots.txt")
    until(lambda: bool(on_host(lab, "bergen")["ready"]))
    assert on_host(lab, "bergen")["verified"]["site"] == "bergen"


def _a_dead_primary_is_told_from_everywhere_within_seconds(lab: Lab) -> None:
    lab.lab("power-off", "oslo")
    at_once = lab.run("status", "--json").expect(1).document  # what bergen has heard before is no sign of life
    assert not at_once["sites"]["oslo"]["reachable"] and at_once["sites"]["oslo"]["silent"]["since"]
    assert at_once["sites"]["oslo"]["last_known"]["role"] == "primary"
    until(lambda: not on_host(lab, "bergen")["sites"]["oslo"]["reachable"], 10)
    status = on_host(lab, "bergen")
    assert not status["ready"] and status["primary"] == "oslo"
    assert status["sites"]["oslo"]["last_known"]["role"] == "primary"
    before = status["replicas"][0]["lag_seconds"]
    time.sleep(3)
    assert on_host(lab, "bergen")["replicas"][0]["lag_seconds"] >= before + 2
    ran = lab.run("status", "--json").expect(1)
    assert not ran.document["sites"]["oslo"]["reachable"] and ran.document["sites"]["bergen"]["reachable"]
    assert ran.seconds < 15
    until(lambda: on_host(lab, "bergen")["replicas"][0]["state"] == "receiver-down", 30)
