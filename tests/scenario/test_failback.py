"""The way home: one command from "the old primary is on again" to everything as it was before the disaster."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.scenario.ground import ACCEPT, FAILOVER, Ground, lost, shopping, until_buys, where_dns_points


def test_one_command_brings_everything_home_and_says_what_only_the_old_primary_had(
    ground: Ground, tmp_path: Path
) -> None:
    lab = ground.fresh()
    early = subprocess.run(lab.operator("failback", "--yes", "--json"), capture_output=True, text=True, timeout=120)
    assert early.returncode == 3 and json.loads(early.stdout)["error"] == "nothing-failed-over", early.stdout
    assert where_dns_points(lab) == lab.info["hosts"]["oslo"]["address"], "nobody is sent away from home"
    lab.lab("link", "cut", "oslo", "bergen")
    with shopping(lab, tmp_path / "unlucky.jsonl"):
        time.sleep(2)
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
    assert missing_files and listed >= missing_files, "and so were the files"
    assert sum(one["count"] for one in document["lost"]["files"]) == len(listed)
    for one in lost_files:
        for file in one["files"]:
            lab.on("oslo", f"test -s {file['kept']}")
    assert missing and {row["row"]["key"] for row in rows if row["table"] == "orders"} >= missing
