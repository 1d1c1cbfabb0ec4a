"""The way home: one command from "the old primary is on again" to everything as it was before the disaster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, lost, shopping, until_bought, until_buys, where_dns_points
from tests.scenario.kills import operate
from tests.scenario.test_switchover import until_ready


def test_one_command_brings_everything_home_and_says_what_only_the_old_primary_had(
    ground: Ground, tmp_path: Path
) -> None:
    lab = ground.fresh()
    # Its guard has held it read-only at first, and let it open: a database in recovery, and yet no copy that pulls.
    assert lab.json("oslo", "cat /var/lib/secondsite/files/uploads.json")["last_attempt_at"] is None
    early = subprocess.run(lab.operator("failback", "--yes", "--json"), capture_output=True, text=True, timeout=120)
    assert early.returncode == 3 and json.loads(early.stdout)["error"] == "nothing-failed-over", early.stdout
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"], "nobody is sent away from home"
    lab.lab("link", "cut", "oslo", "bergen")
    with shopping(lab, tmp_path / "unlucky.jsonl"):
        until_bought(tmp_path / "unlucky.jsonl")
        lab.lab("power-off", "oslo")
    lab.lab("link", "heal", "oslo", "bergen")
    assert lab.json("bergen", f"{FAILOVER} {ACCEPT}")["outcome"] == "completed"
    until_buys(lab)
    unlucky = lost(lab, tmp_path / "unlucky.jsonl")
    missing, missing_files = set(unlucky["orders_lost"]), set(map(str, unlucky["files_lost"]))
    lab.lab("power-on", "oslo")
    lab.on("oslo", "until systemctl is-active --quiet secondsite-agent; do sleep 0.2; done", timeout=60)

    planned = subprocess.run(lab.operator("failback", "--dry-run"), capture_output=True, text=True, timeout=120)
    assert planned.returncode == 0, planned.stderr
    assert "transactions are only here" in planned.stderr
    assert "oslo takes over from bergen" in planned.stdout and "without service" in planned.stdout, planned.stdout
    assert where_dns_points(lab) == lab.info["hosts"]["bergen"]["address"]

    with shopping(lab, tmp_path / "home.jsonl"):
        done = subprocess.run(lab.operator("failback", "--yes", "--json"), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        until_buys(lab)
    document = json.loads(done.stdout)
    assert (document["procedure"], document["outcome"]) == ("failback", "completed")
    assert document["steps"][0]["name"] == "rejoin"
    assert any("pg_rewind" in change["summary"] for change in document["rejoin"]["done"])
    assert document["outage_seconds"] < 5
    found = lost(lab, tmp_path / "home.jsonl")
    assert found["orders_lost"] == [] and found["files_lost"] == []
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
    lab.until_ready()

    rows = map(json.loads, lab.on("oslo", "cat /var/lib/secondsite/database/lost/*/rows.jsonl").splitlines())
    lost_files = lab.json("oslo", "secondsite report --lost-files --json")["lost_files"]
    listed = {Path(file["path"]).name for one in lost_files for file in one["files"]}
    assert missing_files and listed >= missing_files, f"and so were the files\n{files_at(lab, 'oslo')}"
    assert sum(one["count"] for one in document["lost"]["files"]) == len(listed)
    for one in lost_files:
        for file in one["files"]:
            lab.on("oslo", f"test -s {file['kept']}")
    assert missing and {row["row"]["key"] for row in rows if row["table"] == "orders"} >= missing


def files_at(lab: AppliedLab, site: str) -> str:
    """What a site knows of its file sets, and what it has set aside: for whoever has to find out why."""
    state = "/var/lib/secondsite"
    return lab.on(site, f"ls -lR --full-time {state}/aside; tail -n +1 {state}/files/* {state}/files/lost/* 2>&1; true")


def test_a_way_back_that_died_behind_the_database_is_finished_by_the_same_command(ground: Ground) -> None:
    lab = ground.fresh()
    for site in ("bergen", "oslo"):  # so that oslo has taken over once: its file sets are the original by record
        operate(lab, "switchover", "--to", site)
        until_ready(lab, site)
    lab.lab("link", "cut", "oslo", "bergen")
    lab.on("oslo", f"echo only here > {lab.info['app']['upload_path']}/only-here; sync")
    lab.lab("power-off", "oslo")
    lab.lab("link", "heal", "oslo", "bergen")
    operate(lab, "failover", "--to", "bergen", "--accept-unconfirmed-fence")
    lab.lab("power-on", "oslo")
    lab.on("oslo", "until systemctl is-active --quiet secondsite-agent; do sleep 0.2; done", timeout=60)
    record = "/var/lib/secondsite/files/uploads"
    lab.on("oslo", f"systemd-run --quiet --unit=holds flock {record}.lock sleep 600")
    died = subprocess.run(lab.operator("failback", "--yes", "--json"), capture_output=True, text=True, timeout=300)
    assert died.returncode == 4 and json.loads(died.stdout)["error"] == "files-busy", died.stdout + died.stderr
    lab.on("oslo", "systemctl stop holds")
    assert lab.json("oslo", f"cat {record}.json")["role"] == "source", "the apply has ended behind the database"

    applied = subprocess.run(lab.operator("apply", "--yes", "--json"), capture_output=True, text=True, timeout=300)
    assert applied.returncode == 4 and "secondsite failback" in json.loads(applied.stdout)["hint"], applied.stdout
    assert lab.json("oslo", f"cat {record}.json")["role"] == "source", "a plain apply gives nothing up"
    document = operate(lab, "failback")
    assert any(change["resource"] == "role of the file set uploads" for change in document["rejoin"]["done"])
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"]
    (lost_here,) = [one for one in document["lost"]["files"] if one["set"] == "uploads"]
    assert lost_here["site"] == "oslo" and lost_here["count"] == 1
    (listed,) = lab.json("oslo", "secondsite report --lost-files --json")["lost_files"][-1]["files"]
    assert lab.on("oslo", f"cat {listed['kept']}").strip() == "only here"
