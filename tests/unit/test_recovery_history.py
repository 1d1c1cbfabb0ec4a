"""The journals of a host: what is asked before a failover begins does not grow with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secondsite.agent.history import last_ended
from secondsite.clock import SystemClock
from secondsite.recovery import history
from secondsite.recovery.journal import Journal, Kind, Recovered, read
from secondsite.recovery.opening import begin

OPENED = {"procedure": "failover", "arguments": {"to": "bergen"}, "steps": ["assess"]}


def begun(directory: Path, procedure_id: str, *, closed: bool) -> None:
    journal = Journal.create(directory, procedure_id, SystemClock())
    journal.append(Kind.OPENED, OPENED)
    if closed:
        journal.append(Kind.CLOSED, {"outcome": "completed"})
    journal.close()


def test_only_the_newest_journal_is_proven_for_what_is_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path, "20260101T000000Z-failover-0000", closed=True)
    begun(tmp_path, "20260102T000000Z-failover-0000", closed=False)
    proven: list[Path] = []

    def reading(path: Path) -> Recovered:
        proven.append(path)
        return read(path)

    monkeypatch.setattr(history, "read", reading)
    found = history.unfinished(tmp_path)
    assert len(proven) == 1
    assert found is not None
    assert found.id == "20260102T000000Z-failover-0000"


def test_an_unfinished_procedure_behind_a_finished_one_is_over(tmp_path: Path) -> None:
    begun(tmp_path, "20260101T000000Z-failover-0000", closed=False)
    begun(tmp_path, "20260102T000000Z-failover-0000", closed=True)
    assert history.unfinished(tmp_path) is None


def test_a_journal_in_which_nothing_is_proven_does_not_hide_the_one_before(tmp_path: Path) -> None:
    begun(tmp_path, "20260101T000000Z-failover-0000", closed=False)
    (tmp_path / "20260102T000000Z-failover-0000.jsonl").write_bytes(b'{"seq": 0, "a')
    found = history.unfinished(tmp_path)
    assert found is not None
    assert found.id == "20260101T000000Z-failover-0000"
    assert history.unfinished(tmp_path, "switchover") is None
    assert history.unfinished(tmp_path / "nowhere") is None


class Shifted(SystemClock):
    """A clock that is wrong by so many hours."""

    def __init__(self, hours: float) -> None:
        self._hours = hours

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self._hours)


def test_a_clock_that_was_ahead_hides_no_failover_that_died_since(tmp_path: Path) -> None:
    before = begin(tmp_path, "switchover", {"to": "oslo"}, ["look"], Shifted(1))
    before.append(Kind.CLOSED, {"outcome": "completed"})
    before.close()
    assert (ended := last_ended(tmp_path)) is not None
    assert ended.procedure == "switchover"
    died = begin(tmp_path, "failover", {"to": "bergen"}, ["promote"], Shifted(0))
    died.close()
    found = history.unfinished(tmp_path)
    assert found is not None
    assert found.path == died.path
    assert last_ended(tmp_path) is None, "the newest is not over"
    after = begin(tmp_path, "failover", {"to": "bergen"}, ["promote"], Shifted(-1))
    after.append(Kind.CLOSED, {"outcome": "completed"})
    after.close()
    assert history.unfinished(tmp_path) is None, "a later procedure was opened after it in truth"
    assert [entry.path for entry in history.entries(tmp_path)] == [before.path, died.path, after.path]


def test_a_journal_without_a_number_is_older_than_one_that_has_one(tmp_path: Path) -> None:
    begun(tmp_path, "99990101T000000Z-failover-0000", closed=False)
    later = begin(tmp_path, "failover", {"to": "bergen"}, ["promote"], SystemClock())
    later.append(Kind.CLOSED, {"outcome": "completed"})
    later.close()
    assert history.unfinished(tmp_path) is None
