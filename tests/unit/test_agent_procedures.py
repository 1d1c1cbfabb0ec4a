"""Who gives way to whom on one host: a failover ends what has not come to its point of no return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from secondsite.agent.history import promoting
from secondsite.agent.procedures import Procedures, Run
from secondsite.clock import SystemClock
from secondsite.errors import FinalError
from secondsite.events import Emit, Result, from_line, ignore
from secondsite.recovery import history, lock
from secondsite.recovery.failover import run as failover
from secondsite.recovery.journal import Journal, Kind
from secondsite.recovery.opening import begin
from tests.fakes.promoted import FakeDatabase
from tests.unit.test_recovery_failover import context

CLOCK = SystemClock()
STEPS = ("checkpoint-before", "equal", "promote", "redirect")


class Host:
    """Procedures under the host's lock, with journals, as they are; the switchover waits for a primary that died."""

    def __init__(self, folder: Path) -> None:
        self.journals, self.lock = folder / "journal", folder / "lock"
        self.journals.mkdir()
        self.reached: tuple[str, ...] = STEPS[:1]
        self.waiting = asyncio.Event()
        self.looks = 0

    async def run(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        if kind.startswith("preview-"):
            self.waiting.set()
            await asyncio.Event().wait()
        with lock.hold(self.lock, kind, "now"):
            if kind == "failover":
                opening = failover._journal(self.journals, context().arguments, False, ignore, CLOCK, context().spec)
                (await opening)[0].close()
                return Result({"procedure": kind})
            with_steps = begin(self.journals, kind, {"to": "bergen"}, STEPS, CLOCK)
            try:
                reach(with_steps, *self.reached)
                self.waiting.set()
                await asyncio.Event().wait()
            finally:
                with_steps.close()
        return Result({})

    async def look(self) -> None:
        self.looks += 1

    @asynccontextmanager
    async def procedures(self) -> AsyncIterator[Procedures]:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            procedures = Procedures(self, group, self.look, lambda: promoting(self.journals))
            try:
                yield procedures
            finally:
                if procedures.current is not None:
                    procedures.current.abandon()
                await procedures.finished(0)


def reach(journal: Journal, *steps: str) -> None:
    for step in steps:
        journal.append(Kind.INTENT, {"step": step, "site": "bergen"})


async def end_of(run: Run) -> Result:
    events = [from_line(line) async for line in run.follow()]
    assert isinstance(events[-1], Result)
    return events[-1]


async def test_a_failover_ends_a_switchover_that_waits_for_a_primary_that_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDatabase(monkeypatch)
    host = Host(tmp_path)
    async with host.procedures() as procedures:
        waiting = procedures.start("switchover", {})
        await host.waiting.wait()
        taking_over = procedures.start("failover", {})
        assert await end_of(taking_over) == Result({"procedure": "failover"})
        assert (await end_of(waiting)).document["error"] == "procedure-ended"
        assert "the failover goes first" in taking_over.lines[0]
        assert lock.holder(host.lock) is None
    before, after = history.entries(host.journals)
    assert (before.opened["procedure"], before.position.superseded) == ("switchover", True)
    assert (after.opened["procedure"], after.position.superseded) == ("failover", False)


async def test_behind_its_point_of_no_return_a_switchover_is_not_ended(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.reached = STEPS[:3]
    async with host.procedures() as procedures:
        moving = procedures.start("switchover", {})
        await host.waiting.wait()
        with pytest.raises(FinalError) as refused:
            procedures.start("failover", {})
        assert refused.value.slug == "procedure-running" and "point of no return" in refused.value.message
        assert not moving.ended and procedures.current is moving


async def test_only_a_failover_ends_a_switchover(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with host.procedures() as procedures:
        procedures.start("switchover", {})
        await host.waiting.wait()
        with pytest.raises(FinalError) as refused:
            procedures.start("switchover", {})
        assert refused.value.slug == "procedure-running"


async def test_a_dry_run_stands_in_nobodys_way_and_changes_nothing_that_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDatabase(monkeypatch)
    host = Host(tmp_path)
    async with host.procedures() as procedures:
        preview = procedures.start("preview-failover", {})
        await host.waiting.wait()
        assert await end_of(procedures.start("failover", {})) == Result({"procedure": "failover"})
        assert not preview.ended and host.looks == 1
        preview.abandon()
        assert (await end_of(preview)).document["exit_code"] == 3
        assert host.looks == 1


@pytest.mark.parametrize(
    ("before", "resumed", "so"),
    [
        ((), None, False),
        (("checkpoint-before", "equal"), None, False),
        (("promote",), None, True),
        (("redirect",), None, True),
        (("promote",), ("checkpoint-before",), False),
        (("promote",), ("checkpoint-before", "promote"), True),
    ],
)
def test_the_point_of_no_return_is_told_by_what_this_run_has_begun(
    tmp_path: Path, before: tuple[str, ...], resumed: tuple[str, ...] | None, so: bool
) -> None:
    journal = begin(tmp_path, "switchover", {"to": "bergen"}, STEPS, CLOCK)
    reach(journal, *before)
    if resumed is not None:
        journal.append(Kind.RESUMED, {})
        reach(journal, *resumed)
    journal.close()
    assert promoting(tmp_path) is so


def test_a_promotion_that_an_earlier_run_proves_counts_in_the_next(tmp_path: Path) -> None:
    journal = begin(tmp_path, "switchover", {"to": "bergen"}, STEPS, CLOCK)
    done = {"step": "promote", "result": "done", "seconds": 1.0, "details": {"timeline": 2}}
    journal.append(Kind.RESULT, done)
    journal.append(Kind.RESUMED, {})
    journal.close()
    assert promoting(tmp_path)
    assert not promoting(tmp_path / "nothing")
