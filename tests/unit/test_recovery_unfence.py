"""A fence is taken back by whoever rolls the failover back, whichever run of it has fenced; or it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.clock import SystemClock
from secondsite.errors import FinalError, RetryableError
from secondsite.events import Emit, ignore
from secondsite.recovery import fence
from secondsite.recovery.acts.context import Act
from secondsite.recovery.document import exit_code
from secondsite.recovery.engine import Engine, Outcome
from secondsite.recovery.failover.isolate import Fence, fenced_before
from secondsite.recovery.fence import Attempt
from secondsite.recovery.journal import Journal, Kind, read
from secondsite.recovery.step import Details, StepOutcome
from secondsite.spec import paths
from tests.unit.test_recovery_failover import context

STOPPED = Attempt("agent over the tunnel", True, "stopped")
SILENT = Attempt("agent over the tunnel", False, "does not answer")
CUT = Attempt("command power-off", True, "off")


class Oslo:
    """The old primary: what reaches it, and what it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reachable, self.down = True, False
        self.asked: list[Sequence[Attempt] | None] = []

        async def fence_peer(*_: Any, **__: Any) -> tuple[Attempt, ...]:
            assert paths.TAKING_OVER.exists(), "who boots now must not be let in"
            self.down = self.down or self.reachable
            return (STOPPED if self.reachable else SILENT,)

        async def unfence_peer(_: Any, __: Any, attempts: Sequence[Attempt] | None, **___: str) -> None:
            assert not paths.TAKING_OVER.exists(), "who asks now may open again"
            self.asked.append(attempts)
            if not self.reachable:
                raise RetryableError("oslo does not answer")
            self.down = False

        monkeypatch.setattr(fence, "fence_peer", fence_peer)
        monkeypatch.setattr(fence, "unfence_peer", unfence_peer)


@pytest.fixture
def oslo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Oslo:
    monkeypatch.setattr(paths, "RUN", tmp_path)
    monkeypatch.setattr(paths, "TAKING_OVER", tmp_path / "taking-over")
    return Oslo(monkeypatch)


class Look(Act):
    name, title, only_looks = "assess", "Look", True

    async def apply(self, emit: Emit) -> Details:
        return {"database": {"timeline": 1}}


class Turn(Act):
    name, title, point_of_no_return = "promote", "Promote", True

    async def apply(self, emit: Emit) -> Details:
        raise FinalError("refused", slug="promotion-refused")


class Died(BaseException):
    pass


async def run(path: Path, die_at: str | None = None) -> tuple[Outcome, tuple[StepOutcome, ...]]:
    def trip(step: str, phase: str) -> None:
        if f"{step}:{phase}" == die_at:
            raise Died

    clock, results = SystemClock(), dict[str, Details]()
    journal = Journal.reopen(path, clock)
    one = replace(context(), results=lambda: results, fenced_before=fenced_before(journal.records))
    try:
        return await Engine([Look(one), Fence(one), Turn(one)], journal, clock, ignore, results, trip).run(lambda _: {})
    finally:
        journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "j").touch()
    return tmp_path / "j"


@pytest.mark.parametrize("place", ["fence:intent", "fence:applied", "promote:before-intent"])
async def test_a_fence_that_an_earlier_run_began_and_nobody_can_take_back_is_told(
    oslo: Oslo, path: Path, place: str
) -> None:
    with pytest.raises(BaseExceptionGroup):
        await run(path, die_at=place)
    oslo.reachable = False
    outcome, steps = await run(path)
    assert outcome is Outcome.FAILED
    assert int(exit_code(outcome, {}, ())) == 4
    (error,) = [step.error for step in steps if step.name == "fence" and step.error]
    assert error.slug == "unfence-failed"
    assert "oslo is fenced" in error.message and "secondsite guard --allow" in (error.hint or "")

    oslo.reachable = True
    assert (await run(path))[0] is Outcome.ROLLED_BACK
    assert not oslo.down
    assert fenced_before(read(path).records) is None


async def test_a_primary_that_nothing_has_reached_is_not_opened(oslo: Oslo, path: Path) -> None:
    oslo.reachable = False
    outcome, _ = await run(path)
    assert outcome is Outcome.ROLLED_BACK
    assert oslo.asked == []


def test_what_earlier_runs_tried_is_read_from_the_journal(path: Path) -> None:
    journal = Journal(path, SystemClock())
    assert fenced_before(journal.records) is None
    journal.append(Kind.INTENT, {"step": "fence"})
    died = fenced_before(journal.records)
    assert died is not None and [one.unknown for one in died] == [True]
    details = fence.as_details([CUT])
    journal.append(Kind.RESULT, {"step": "fence", "result": "done", "seconds": 1.0, "details": details})
    assert fenced_before(journal.records) == (CUT,)
    journal.append(Kind.UNDONE, {"step": "fence"})
    assert fenced_before(journal.records) is None
    journal.close()


async def test_what_an_earlier_run_cut_off_gets_its_power_back(oslo: Oslo) -> None:
    step = Fence(replace(context(), fenced_before=(CUT,)))
    step._attempts = (SILENT,)
    await step.undo()
    assert oslo.asked == [(CUT,)]
    step = Fence(replace(context(), fenced_before=(STOPPED,)))
    step._attempts = (CUT,)
    await step.undo()
    assert oslo.asked[1:] == [(CUT,), None]
