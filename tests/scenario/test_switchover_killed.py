"""A switchover that is killed at any step is finished by ``switchover --resume``: one primary, and no order lost.

Generated from the list of steps: a sample runs with every test, all of it with ``make crash-matrix``. The service goes
to and fro on one lab: each case moves it to the site that is standby when the case begins. Clients that come through
PgBouncer wait meanwhile, and see no error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite.recovery.switchover.attach import CommitMode
from secondsite.recovery.switchover.plan import STEPS
from secondsite_lab import pooler
from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import Ground, lost, shopping, until_buys
from tests.scenario.matrix import some
from tests.scenario.pooled import clients, unharmed
from tests.scenario.test_switchover import OTHER, at_home, until_ready

# After an act and before its result is written nobody knows whether it happened: the hardest moment of each step. The
# lab's commits wait for nobody, so the step that sees to them has nothing to do.
ACTED = [f"{step.name}:applied" for step in STEPS if step is not CommitMode]
ABOUT_TO_ACT = [f"{name}:intent" for name in ("close", "stop", "promote", "application", "attach")]

ALWAYS = ["close:applied", "promote:applied", "pooler:applied"]


class Swing:
    """Whether the case before has left the lab as it should."""

    sound = False


@pytest.fixture(scope="module")
def described(ground: Ground) -> Iterator[None]:
    """The lab's file as it was, once this is over."""
    config = Path(ground.lab.info["config"])
    before = config.read_text()
    yield
    config.write_text(before)


@pytest.fixture
def swinging(ground: Ground, described: None) -> Iterator[AppliedLab]:
    """The lab as the case before has left it; a fresh one, with PgBouncer, behind a case that failed."""
    if not Swing.sound:
        pooler.install(ground.fresh())
    Swing.sound = False
    yield ground.lab


@pytest.mark.parametrize("place", some(ACTED + ABOUT_TO_ACT, 3, always=ALWAYS))
def test_a_switchover_killed_at_a_step_is_finished_with_one_primary_and_every_order(
    swinging: AppliedLab, tmp_path: Path, place: str
) -> None:
    lab = swinging
    old = str(lab.json("oslo", "secondsite status --json")["primary"])
    new = OTHER[old]
    until_ready(lab, old)
    with shopping(lab, tmp_path / "customer.jsonl"), clients(lab, "oslo", "bergen") as stop:
        lab.on(new, "systemctl stop secondsite-agent.service")
        killed = lab.said(new, f"SECONDSITE_DIE_AT={place} secondsite switchover --to {new} --yes --json; exit $?")
        lab.on(new, "systemctl start secondsite-agent.service")
        assert killed.returncode == 137, killed.stdout + killed.stderr
        resumed = lab.json(new, "secondsite switchover --resume --json")
        assert resumed["outcome"] == "completed", resumed["errors"]
        until_buys(lab)
        unharmed(stop())
    until_ready(lab, new)
    at_home(lab, new)
    found = lost(lab, tmp_path / "customer.jsonl")
    assert found["orders_acknowledged"] > 10
    assert found["orders_lost"] == [] and found["files_lost"] == []
    Swing.sound = True
