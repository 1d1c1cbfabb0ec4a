"""Right before a promotion: the old primary says that it still stands down, and that is worth little time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.clock import SystemClock
from secondsite.database import promote as database
from secondsite.database.cluster import Cluster
from secondsite.database.promote import Promoted
from secondsite.errors import FinalError, RetryableError, SecondsiteError, UnknownOutcomeError
from secondsite.events import Event
from secondsite.recovery.engine import Engine, Outcome
from secondsite.recovery.handover.serve import Handover
from secondsite.recovery.journal import Journal
from secondsite.recovery.step import Details, Step
from secondsite.recovery.switchover.context import OldPrimary
from secondsite.recovery.switchover.take_over import WORTH_SECONDS, PromoteProven, refuse_old
from secondsite.spec import paths
from tests.unit.test_recovery_switchover import SPEC, context

STANDS = {"site": "oslo", "procedure": "id", "stands_down": True, "why": None}


def drop(_: Event) -> None:
    """Nobody listens."""


@pytest.fixture
def promotions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was promoted; ``pg_promote`` itself is proven with a real server elsewhere."""
    done: list[str] = []

    async def promote(
        cluster: Cluster, *, timeout_seconds: float, last_word: Callable[[], None] | None = None
    ) -> Promoted:
        assert last_word is not None
        last_word()
        done.append("promoted")
        return Promoted(2, 1000)

    async def under_way(cluster: Cluster, *, timeout_seconds: float) -> bool:
        return False

    monkeypatch.setattr(database, "promote", promote)
    monkeypatch.setattr(database, "under_way", under_way)
    monkeypatch.setattr(PromoteProven, "_open", lambda _: None)
    return done


def told(monkeypatch: pytest.MonkeyPatch, answer: Mapping[str, Any] | SecondsiteError) -> list[str]:
    asked: list[str] = []

    async def ask(
        self: OldPrimary, act: str, document: Mapping[str, Any] | None = None, *, seconds: float
    ) -> Mapping[str, Any]:
        asked.append(act)
        if isinstance(answer, SecondsiteError):
            raise answer
        return answer

    monkeypatch.setattr(OldPrimary, "ask", ask)
    return asked


async def test_a_site_is_promoted_that_hears_once_more_that_the_old_primary_stands_down(
    promotions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = told(monkeypatch, STANDS)
    assert (await PromoteProven(context()).apply(drop))["timeline"] == 2
    assert asked == ["standing"] and promotions == ["promoted"]


class Stopped(Step):
    """What was done before, and can be taken back."""

    name = "close"
    title = "close"

    def __init__(self, undone: list[str]) -> None:
        super().__init__("oslo")
        self._undone = undone

    async def apply(self, emit: object) -> Details:
        return {}

    async def undo(self) -> None:
        self._undone.append(self.name)


@pytest.mark.parametrize(
    ("answer", "slug"),
    [
        ({**STANDS, "stands_down": False, "why": "it was opened again"}, "not-standing-down"),
        ({**STANDS, "procedure": "another"}, "not-standing-down"),
        ({}, "not-standing-down"),
        (RetryableError("nobody there", slug="peer-silent"), "peer-silent"),
        (UnknownOutcomeError("took it and said nothing", slug="peer-unanswered"), "peer-silent"),
    ],
)
async def test_without_that_word_nothing_is_promoted_and_everything_is_taken_back(
    promotions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answer: Mapping[str, Any] | SecondsiteError,
    slug: str,
) -> None:
    told(monkeypatch, answer)
    undone: list[str] = []
    clock = SystemClock()
    journal = Journal(tmp_path / "j", clock)
    engine = Engine((Stopped(undone), PromoteProven(context())), journal, clock, drop, {})
    outcome, steps = await engine.run(lambda _: {})
    journal.close()
    assert outcome is Outcome.ROLLED_BACK and undone == ["close"] and promotions == []
    failure = steps[1].error
    assert failure is not None and failure.slug == slug


async def test_a_host_that_stood_still_behind_the_answer_promotes_nothing(
    promotions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, STANDS)
    times = iter([100.0, 100.0 + WORTH_SECONDS + 60])

    def stood_still(clock: int) -> float:
        assert clock == time.CLOCK_BOOTTIME, "a suspended machine's time counts"
        return next(times)

    monkeypatch.setattr(time, "clock_gettime", stood_still)
    with pytest.raises(FinalError) as old:
        await PromoteProven(context()).apply(drop)
    assert old.value.slug == "proof-too-old" and promotions == []


def test_the_answer_is_worth_some_seconds() -> None:
    refuse_old(WORTH_SECONDS, "oslo")
    with pytest.raises(FinalError):
        refuse_old(WORTH_SECONDS + 0.1, "oslo")


@pytest.fixture
def oslo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handover:
    """The old primary, stopped for the procedure ``id-1``."""
    for name in ("FENCED", "ADMITTED", "ACTIVE"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(Cluster, "data", tmp_path / "data")
    paths.FENCED.write_text("bergen takes over by switchover id-1\n")
    (tmp_path / "data").mkdir()
    return Handover(SPEC, "oslo", SystemClock())


async def ask(oslo: Handover) -> Mapping[str, Any]:
    return await oslo("standing", {"procedure": "id-1", "serial": 3})


async def test_an_old_primary_that_is_stopped_for_a_procedure_says_so(oslo: Handover) -> None:
    said = await ask(oslo)
    assert said == {"site": "oslo", "procedure": "id-1", "stands_down": True, "why": None}
    assert await ask(oslo) == said, "a question may be repeated"


async def test_whatever_opens_it_ends_that(oslo: Handover, tmp_path: Path) -> None:
    pid = tmp_path / "data" / "postmaster.pid"
    pid.write_text(f"{Path('/proc/self').readlink()}\n")
    assert (await ask(oslo))["why"] == "its database was started again"
    pid.unlink()
    paths.ACTIVE.touch()
    assert (await ask(oslo))["stands_down"] is False
    paths.ACTIVE.unlink()
    paths.FENCED.write_text("bergen takes over by switchover id-2\n")
    assert (await ask(oslo))["stands_down"] is False
    paths.FENCED.unlink()  # as ``guard --allow`` does first of all
    assert (await ask(oslo))["stands_down"] is False


async def test_what_the_old_primary_answers_is_what_the_taking_site_reads(
    oslo: Handover, promotions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def over_the_tunnel(
        self: OldPrimary, act: str, document: Mapping[str, Any] | None = None, *, seconds: float
    ) -> Mapping[str, Any]:
        return await oslo(act, {"procedure": self.procedure_id, "serial": 1})

    monkeypatch.setattr(OldPrimary, "ask", over_the_tunnel)
    before = context()
    moving = replace(before, procedure_id="id-1", primary=replace(before.primary, procedure_id="id-1"))
    await PromoteProven(moving).apply(drop)
    paths.FENCED.unlink()
    with pytest.raises(FinalError, match="does not stand down any more"):
        await PromoteProven(moving).apply(drop)
    assert promotions == ["promoted"]
