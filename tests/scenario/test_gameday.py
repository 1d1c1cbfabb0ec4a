"""Game days with the faults that the seeds of this project name: an interface down, PostgreSQL's port blocked."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli.schemas import conforms
from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import Ground, accepts_writes, until_buys, where_dns_points


def held(lab: AppliedLab, fault: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Hold a game day as the operator; exit code and report."""
    argv = lab.operator("gameday", "--fault", fault, "--for-seconds", "25", "--yes", "--output", str(folder))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=400)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, dict(json.loads((folder / "report.json").read_text()))


@pytest.mark.parametrize("fault", ["interface-down", "postgres-port-blocked"])
def test_a_fault_on_the_primary_is_noticed_survived_and_ends_by_itself(
    ground: Ground, fault: str, tmp_path: Path
) -> None:
    lab = ground.fresh()
    code, report = held(lab, fault, tmp_path / "report")
    conforms("report", report)
    # With its port blocked the primary goes on serving while nothing reaches the standby: then the RPO may be missed.
    missed = [] if report["rpo"]["met"] else ["RPO missed"]
    assert report["verdict"]["reasons"] == missed
    assert code == (1 if missed else 0)
    assert not (missed and fault == "interface-down")
    assert report["procedure"]["outcome"] == "completed"
    assert report["rto"]["detection_seconds"] is not None
    assert report["rto"]["command_to_served_seconds"] < 60
    assert report["customer"]["orders_acknowledged"] > 10
    assert report["rpo"]["orders_lost"] == len(report["customer"]["orders_lost"])
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    assert where_dns_points(lab) == lab.info["hosts"]["bergen"]["address"]
    until_buys(lab)
    left = lab.json("oslo", f"secondsite fault {fault} --left")
    assert left["left"] is False, "nothing of the fault stays"
    assert not accepts_writes(lab, "oslo")


def test_the_undo_of_a_fault_runs_even_when_everything_of_ours_is_gone(ground: Ground) -> None:
    lab = ground.fresh()
    lab.on("oslo", "secondsite fault postgres-port-blocked --undo-after-seconds 8")
    time.sleep(1)
    lab.on("oslo", "systemctl stop secondsite-agent.service; mv /opt/secondsite /opt/secondsite.gone")
    assert "secondsite_gameday" in lab.on("oslo", "nft list tables")
    time.sleep(9)
    assert "secondsite_gameday" not in lab.on("oslo", "nft list tables")


def test_what_is_already_broken_is_not_rehearsed(ground: Ground, tmp_path: Path) -> None:
    lab = ground.fresh()
    lab.on("bergen", f"systemctl stop {lab.cluster.unit}")
    time.sleep(3)
    argv = lab.operator("gameday", "--yes", "--json", "--output", str(tmp_path))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stdout + done.stderr
    assert json.loads(done.stdout)["error"] == "not-ready"
    until_buys(lab)
