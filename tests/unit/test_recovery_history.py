"""The journals of a host: what is asked before a failover begins does not grow with them."""

from __future__ import annotations

from pathlib import Path

from secondsite.clock import SystemClock
from secondsite.recovery import history
from secondsite.recovery.journal import Journal, Kind

OPENED = {"procedure": "failover", "arguments": {"to": "bergen"}, "steps": ["assess"]}


def begun(directory: Path, procedure_id: str, *, closed: bool) -> None:
    journal = Journal.create(directory, procedure_id, SystemClock())
    journal.append(Kind.OPENED, OPENED)
    if closed:
        journal.append(Kind.CLOSED, {"outcome": "completed"})
    journal.close()


def test_only_the_newest_journal_is_read_for_what_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / "20260101T000000Z-failover-0000.jsonl").mkdir()  # to read it would raise
    begun(tmp_path, "20260102T000000Z-failover-0000", closed=False)
    found = history.unfinished(tmp_path)
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
