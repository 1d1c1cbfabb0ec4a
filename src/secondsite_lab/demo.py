"""The demo: a shop at two sites, a power failure, and a customer who keeps the receipts.

Everything is done with secondsite's own commands, the way an operator would: apply, status, gameday. This module
only boots the lab around them and takes it down again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from secondsite_lab import down, record
from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab, lab_named
from secondsite_lab.network import in_namespace
from secondsite_lab.topology import WORLD
from secondsite_lab.up import changing, up

Tell = Callable[[str], None]


def run(output: Path, *, suite: str, keep: bool, tell: Tell) -> int:
    """Play the demo and leave the report in ``output``; the exit code of the game day (0: objectives met)."""
    began = time.monotonic()
    lab = lab_named(f"demo{os.getpid() % 100000}")
    try:
        up(lab, record.new(suite, kind=None, open_database=False, disk_size="1G"), tell)
        _say(tell, began, "the lab is up: a shop is open at oslo, bergen is empty")
        secondsite(lab, "apply", "--yes")
        _say(tell, began, "bergen is a warm standby of oslo")
        _until_ready(lab)
        secondsite(lab, "status")
        _say(tell, began, "now oslo burns")
        code = secondsite(
            lab,
            *("gameday", "--fault", "power-off", "--yes"),
            *("--reason", "demo: the primary site loses its power", "--output", str(output.resolve())),
            may_miss=True,
        )
        tell(f"{time.monotonic() - began:.0f} s in all; the report: {output / 'report.html'}")
        return code
    finally:
        if keep:
            tell(f"the lab stays: secondsite-lab info --name {lab.name}; end it with down --name {lab.name}")
        else:
            with changing(lab, tell):
                down.remove(lab, tell)
            down.tidy()


def secondsite(lab: Lab, *arguments: str, may_miss: bool = False) -> int:
    """Run ``secondsite ARGUMENTS`` as the operator in the world; its exit code. Raises LabError where it fails."""
    program = str(Path(sys.executable).parent / "secondsite")
    argv = in_namespace(lab.netns(WORLD), program, "--config", str(lab.config), *arguments)
    code = subprocess.run(argv, check=False, timeout=900).returncode
    if code not in ((0, 1) if may_miss else (0,)):
        raise LabError(f"secondsite {arguments[0]} ended with {code}", "see what it said above")
    return code


def _until_ready(lab: Lab, seconds: float = 30) -> None:
    """The standby catches up within a moment; the demo does not begin before it would work."""
    program = str(Path(sys.executable).parent / "secondsite")
    argv = in_namespace(lab.netns(WORLD), program, "--config", str(lab.config), "status", "--json")
    deadline = time.monotonic() + seconds
    while True:
        done = subprocess.run(argv, check=False, capture_output=True, timeout=60)
        status = json.loads(done.stdout or b"{}")
        if status.get("ready"):
            return
        if time.monotonic() > deadline:
            raise LabError("the standby did not become ready", _why(status))
        time.sleep(0.5)


def _why(status: dict[str, object]) -> str:
    findings = status.get("findings")
    return json.dumps(findings)[:600] if findings else "secondsite status printed nothing"


def _say(tell: Tell, began: float, what: str) -> None:
    tell(f"\n== {time.monotonic() - began:5.1f} s  {what}")
