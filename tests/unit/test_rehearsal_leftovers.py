"""What a game day must not leave, and by whose leave it was held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from secondsite.cli.views.gameday import lines
from secondsite.errors import RetryableError
from secondsite.evidence.html import render
from secondsite.rehearsal import leftovers
from secondsite.rehearsal.leftovers import Left, judged
from secondsite.remote.target import Target
from tests.unit.evidence_sample import sample
from tests.unit.objectives_worlds import SPEC


def test_nothing_left_is_told_with_the_hosts_that_were_looked_at() -> None:
    assert judged({"oslo": Left(), "bergen": Left()}) == (True, "no timer and no rule of a fault at oslo and bergen")


@pytest.mark.parametrize(
    ("oslo", "told"),
    [
        (Left(faults=("interface-down",)), "interface-down at oslo is not undone"),
        (Left(problem="no answer on port 22"), "nobody could look at oslo: no answer on port 22"),
    ],
)
def test_what_is_left_or_could_not_be_seen_fails_the_game_day(oslo: Left, told: str) -> None:
    passed, words = judged({"oslo": oslo, "bergen": Left()})
    assert not passed and words.startswith(told)


def test_a_quarantine_is_told_with_its_end_and_fails_nothing() -> None:
    passed, words = judged({"bergen": Left(quarantines="oslo")}, off="oslo")
    assert passed and "`secondsite apply --replace-standby oslo`" in words and "left without power" in words


async def test_every_fault_is_looked_for_at_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Observer:
        def __init__(self, _: object) -> None:
            pass

        async def ask(self, arguments: str) -> dict[str, Any]:
            asked.append(arguments)
            return {"left": "postgres" in arguments, "quarantining_peer": True}

    @asynccontextmanager
    async def reach(target: Target) -> AsyncIterator[None]:
        if target.site == "oslo":
            raise RetryableError("no answer")
        yield None

    monkeypatch.setattr(leftovers, "Observer", Observer)
    monkeypatch.setattr(leftovers, "reach", reach)
    found = await leftovers.look(SPEC, ["oslo", "bergen"])
    assert "no answer" in (found["oslo"].problem or "")
    assert found["bergen"] == Left(("postgres-port-blocked",), "oslo")
    assert asked == ["fault interface-down --left", "fault postgres-port-blocked --left", "state --json"]


@pytest.mark.parametrize(("approver", "told"), [("Kari Nordmann", True), (None, False)])
def test_the_report_says_who_approved_it(approver: str | None, told: bool) -> None:
    document = sample()
    document["scenario"]["approver"] = approver
    assert ("Approved by Kari Nordmann." in "\n".join(lines(document))) == told
    assert ("Kari Nordmann" in render(document)) == told
