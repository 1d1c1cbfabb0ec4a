"""Which journal a procedure writes into: a new one, one that is taken up, one that the world has gone on without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.agent.history import last_ended, unfinished_here
from secondsite.clock import SystemClock
from secondsite.errors import FinalError, HalfwayError
from secondsite.events import Event, Note, ignore
from secondsite.recovery import history, lock, promoted
from secondsite.recovery.failover import run as failover
from secondsite.recovery.guard import PeerAnswer, Ruling, Verdict
from secondsite.recovery.journal import Journal, Kind
from secondsite.recovery.opening import begin, supersede, take_up
from tests.fakes.promoted import FakeDatabase
from tests.unit.test_recovery_failover import context

ARGUMENTS = replace(context().arguments, accept_unconfirmed_fence=True, resume_replay=True)
CLOCK = SystemClock()


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    return FakeDatabase(monkeypatch)


def old(folder: Path, *, promoted_to: int | None = 2, procedure: str = "failover") -> history.Entry:
    """A journal that was left unfinished."""
    arguments = {"to": "bergen", "commanded_at": "2026-11-22T03:12:00Z", "accept_unconfirmed_fence": True}
    journal = begin(folder, procedure, arguments, (), CLOCK)
    if promoted_to is not None:
        body = {"step": "promote", "result": "done", "seconds": 1.0, "details": {"timeline": promoted_to}}
        journal.append(Kind.RESULT, body)
        journal.append(Kind.CLOSED, {"outcome": "blocked"})
    journal.close()
    (entry,) = history.entries(folder)
    return entry


async def opened(folder: Path, *, resume: bool) -> Journal:
    spec = context().spec
    journal, _ = await failover._journal(folder, context().arguments, resume, ignore, CLOCK, spec)
    journal.close()
    return journal


async def test_a_promotion_that_is_gone_is_superseded_by_a_plain_failover(
    tmp_path: Path, database: FakeDatabase
) -> None:
    entry = old(tmp_path)
    journal = await opened(tmp_path, resume=False)
    assert journal.path != entry.path
    before = next(one for one in history.entries(tmp_path) if one.path == entry.path)
    assert before.position.superseded and not before.unfinished
    assert (await opened(tmp_path, resume=True)).path == journal.path


async def test_a_promotion_that_the_guard_holds_is_not_begun_anew(tmp_path: Path, database: FakeDatabase) -> None:
    entry, database.marked = old(tmp_path), True
    with pytest.raises(HalfwayError) as refused:
        await opened(tmp_path, resume=False)
    assert refused.value.slug == "promotion-gone" and "failover --resume" in (refused.value.hint or "")
    assert (await opened(tmp_path, resume=True)).path == entry.path


async def test_a_promotion_that_stands_is_taken_up(tmp_path: Path, database: FakeDatabase) -> None:
    entry, database.recovering = old(tmp_path), False
    assert (await opened(tmp_path, resume=False)).path == entry.path


async def test_a_switchover_that_promoted_nobody_gives_way(tmp_path: Path, database: FakeDatabase) -> None:
    entry = old(tmp_path, promoted_to=None, procedure="switchover")
    assert (await opened(tmp_path, resume=False)).path != entry.path


def test_what_was_accepted_then_counts_only_for_resume() -> None:
    now = context().arguments
    assert failover.merge(ARGUMENTS, now, resume=True).accept_unconfirmed_fence
    taken_up = failover.merge(ARGUMENTS, now, resume=False)
    assert not taken_up.accept_unconfirmed_fence and not taken_up.resume_replay
    assert failover.merge(now, ARGUMENTS, resume=False).accept_unconfirmed_fence


async def again() -> None:
    one = context()
    await promoted.open_again(one.spec, one.peer, one.cluster, CLOCK, site="bergen", timeline=2)


async def test_what_the_guard_holds_is_opened_again_where_the_peer_is_silent_or_read_only(
    database: FakeDatabase,
) -> None:
    database.marked = True
    await again()
    assert database.opened
    database.opened, database.peer = False, PeerAnswer(False, 1)
    await again()
    assert database.opened


@pytest.mark.parametrize(
    ("marked", "timeline", "peer"),
    [
        (True, 2, PeerAnswer(True, 1)),
        (True, 2, PeerAnswer(False, 3)),
        (True, 3, None),
        (False, 2, PeerAnswer(True, 3)),
        (False, 2, None),
    ],
)
async def test_nothing_is_opened_where_it_is_another_database_or_the_other_site_is_ahead(
    database: FakeDatabase, marked: bool, timeline: int, peer: PeerAnswer | None
) -> None:
    database.marked, database.timeline, database.peer = marked, timeline, peer
    with pytest.raises(HalfwayError) as stopped:
        await again()
    assert not database.opened
    assert "bergen" in stopped.value.message and "oslo" in stopped.value.message
    assert "secondsite" in (stopped.value.hint or "")


async def test_what_a_later_procedure_has_fenced_stays_closed(tmp_path: Path, database: FakeDatabase) -> None:
    database.marked, database.fence = True, Verdict(Ruling.HOLD, "fenced by procedure y at oslo")
    with pytest.raises(HalfwayError, match="fenced by procedure y at oslo"):
        await again()
    assert not database.opened
    entry = old(tmp_path)
    assert (await opened(tmp_path, resume=False)).path != entry.path


def full(*_: Any) -> Any:
    raise OSError(28, "No space left on device")


def test_nothing_begins_without_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(FinalError) as refused:
        begin(tmp_path, "failover", {}, (), CLOCK)
    assert refused.value.slug == "journal-unwritable" and int(refused.value.exit) == 3
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Journal, "create", full)
    with pytest.raises(FinalError, match="No space left"):
        begin(tmp_path, "failover", {}, (), CLOCK)


def test_taken_up_before_the_promotion_the_journal_must_be_writable_and_behind_it_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, behind = old(tmp_path / "before", promoted_to=None), old(tmp_path / "behind")
    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(FinalError) as refused:
        take_up(before, {}, CLOCK, ignore, "bergen")
    assert refused.value.slug == "journal-unwritable"
    told: list[Event] = []
    assert take_up(behind, {}, CLOCK, told.append, "bergen").records
    monkeypatch.setattr(Journal, "reopen", full)
    assert take_up(behind, {}, CLOCK, told.append, "bergen").records
    assert [one.level for one in told if isinstance(one, Note)].count("error") == 2
    supersede(behind, "a test says so", CLOCK, ignore, "bergen")


def test_an_unfinished_procedure_is_known_until_it_is_superseded_and_not_while_one_runs(tmp_path: Path) -> None:
    journals, taken = tmp_path / "journal", tmp_path / "lock"
    assert unfinished_here(journals, taken) is None
    entry = old(journals)
    found = unfinished_here(journals, taken)
    assert found is not None and (found.procedure, found.id) == ("failover", entry.id)
    with lock.hold(taken, "failover to bergen", "now"):
        assert unfinished_here(journals, taken) is None
    supersede(entry, "a test says so", CLOCK, ignore, "bergen")
    assert unfinished_here(journals, taken) is None


def test_the_last_procedure_is_told_once_it_is_over_with_what_failed_first(tmp_path: Path) -> None:
    assert last_ended(tmp_path) is None
    journal = Journal.create(tmp_path, "20261122T094519Z-failover-92be", CLOCK)
    journal.append(Kind.OPENED, {"procedure": "failover", "arguments": {"to": "bergen"}, "steps": ["fence"]})
    journal.append(Kind.INTENT, {"site": "oslo", "step": "fence"})
    assert last_ended(tmp_path) is None, "it may still run"
    error = {"error": "fence-unconfirmed", "message": "oslo could not be fenced", "hint": "make sure that it is off"}
    failed = {"site": "oslo", "step": "fence", "result": "failed", "seconds": 0.2, "details": {}, "error": error}
    journal.append(Kind.RESULT, failed)
    journal.append(Kind.UNDONE, {"step": "fence"})
    journal.append(Kind.CLOSED, {"outcome": "rolled_back"})
    journal.close()
    (tmp_path / "20261122T094600Z-failover-0000.jsonl").write_text("")  # it died before its first record
    found = last_ended(tmp_path)
    assert found is not None
    assert (found.procedure, found.id) == ("failover", "20261122T094519Z-failover-92be")
    assert (found.outcome, found.to) == ("rolled_back", "bergen")
    assert (found.why, found.hint) == ("oslo could not be fenced", "make sure that it is off")


@pytest.mark.parametrize(
    ("begun", "told"), [(("assess",), "failover"), (("assess", "close"), "switchover"), ((), "failover")]
)
def test_a_switchover_that_was_refused_before_its_first_change_is_not_what_was_done_last(
    tmp_path: Path, begun: tuple[str, ...], told: str
) -> None:
    """What was refused has changed nothing; the failover that was taken back before it is still what a person must
    know of."""
    for number, (procedure, steps) in enumerate((("failover", ("fence",)), ("switchover", begun))):
        journal = Journal.create(tmp_path, f"2026112{number}T094519Z-{procedure}-0000", CLOCK)
        journal.append(Kind.OPENED, {"procedure": procedure, "arguments": {"to": "bergen"}, "number": number + 1})
        for step in steps:
            journal.append(Kind.INTENT, {"site": "oslo", "step": step})
            journal.append(Kind.UNDONE, {"step": step})
        journal.append(Kind.CLOSED, {"outcome": "rolled_back"})
        journal.close()
    found = last_ended(tmp_path)
    assert found is not None and found.procedure == told
