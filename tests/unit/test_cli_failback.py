"""Coming home: when there is something to come home from."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from secondsite.cli.bootstrap.back import Back, half_taken_back
from secondsite.cli.bootstrap.look import HostLook
from secondsite.cli.failback import nothing_to_do, planned_move
from secondsite.cli.given_up import Left, counted, left_by, lines
from secondsite.cli.journals import Kept, at_home, came_home, halfway, left_by_failover, way_home
from secondsite.cli.schemas import conforms
from secondsite.cli.views.procedure import switchover_lines
from secondsite.database.facts import HostFacts
from secondsite.errors import FinalError
from secondsite.recovery.history import entries
from secondsite.recovery.journal import Journal, Kind
from tests.fakes.clock import SetClock
from tests.unit.objectives_worlds import SPEC


def kept(folder: Path, name: str, procedure: str, at: str, outcome: str | None, to: str = "oslo") -> Kept:
    """A journal of a procedure that ended so, or has not ended."""
    journal = Journal.create(folder / name, name, SetClock(datetime.fromisoformat(at)))
    journal.append(Kind.OPENED, {"procedure": procedure, "arguments": {"to": to}, "steps": []})
    if outcome:
        journal.append(Kind.CLOSED, {"outcome": outcome})
    journal.close()
    (entry,) = entries(folder / name)
    return Kept(entry, "oslo")


def test_a_way_home_that_was_begun_last_is_taken_up_and_no_other(tmp_path: Path) -> None:
    burned = kept(tmp_path, "20261122T031200Z-failover-aaaa", "failover", "2026-11-22T03:12:00+00:00", "completed")
    died = kept(tmp_path, "20261122T051200Z-switchover-cccc", "switchover", "2026-11-22T05:12:00+00:00", None)
    stopped = kept(tmp_path, "20261122T061200Z-switchover-dddd", "switchover", "2026-11-22T06:12:00+00:00", "blocked")
    back = kept(tmp_path, "20261122T071200Z-switchover-eeee", "switchover", "2026-11-22T07:12:00+00:00", "rolled_back")
    again = kept(tmp_path, "20261122T081200Z-failover-ffff", "failover", "2026-11-22T08:12:00+00:00", "blocked")
    assert halfway([]) is None and halfway([burned]) is None
    assert halfway([died, burned]) == died.entry
    assert halfway([burned, died, stopped]) == stopped.entry
    assert halfway([burned, died, stopped, back]) is None
    assert halfway([burned, died, stopped, again]) is None


def test_after_a_completed_switchover_there_is_nothing_to_come_home_from(tmp_path: Path) -> None:
    burned = kept(tmp_path, "20261122T031200Z-failover-aaaa", "failover", "2026-11-22T03:12:00+00:00", "completed")
    refused = kept(
        tmp_path, "20261122T041200Z-switchover-bbbb", "switchover", "2026-11-22T04:12:00+00:00", "rolled_back"
    )
    died = kept(tmp_path, "20261122T051200Z-switchover-cccc", "switchover", "2026-11-22T05:12:00+00:00", None)
    home = kept(tmp_path, "20261122T061200Z-switchover-dddd", "switchover", "2026-11-22T06:12:00+00:00", "completed")
    assert came_home([]) is None
    assert came_home([burned]) is None
    assert came_home([burned, refused]) is None
    assert came_home([burned, died]) is None
    assert came_home([burned, refused, died, home]) == home.entry
    step = {
        "name": "rejoin", "title": "t", "site": "oslo", "started_at": "", "ended_at": "", "seconds": 0.0,
        "outcome": "already", "message": None, "hint": None, "details": {},
    }  # fmt: skip
    document = nothing_to_do(home.entry, Back("bergen", step, {"outcome": "unchanged"}, ()), SPEC)
    conforms("procedure", document)
    assert document["id"] == home.entry.id


ROWS = {"written_at": "2026-11-22T05:00:00.000000Z", "commits": 7, "rows": 2}
FILES = {
    "site": "oslo", "set": "uploads", "written_at": "2026-11-22T05:00:00.000000Z", "count": 3, "bytes": 1200,
    "kept_in": ["/var/lib/secondsite/aside/files-uploads-1"], "files": [], "older": 1,
}  # fmt: skip


def test_the_end_of_a_failback_tells_what_only_the_old_primary_had_and_how_to_see_it() -> None:
    before = "2026-11-21T05:00:00.000000Z"
    older = [ROWS | {"written_at": before}, FILES | {"written_at": before}]
    found = counted([older[0], ROWS], [older[1], FILES], Left("oslo", "2026-11-22T03:12:00.000000Z"))
    assert (found["transactions"], found["rows"]) == (7, 2)
    assert [(one["set"], one["count"]) for one in found["files"]] == [("uploads", 3)]
    text = "\n".join(lines(found))
    assert "secondsite report --lost-rows" in text
    assert "3 files of uploads (1.2 kB) lost, kept at oslo: secondsite report --lost-files" in text
    assert counted([ROWS], [FILES], None)["rows"] == 2, "no failover is known: everything that was found counts"
    moved = counted([ROWS | {"commits": 0, "rows": 0}], [FILES | {"count": 0, "bytes": 0, "perhaps": [{}]}], None)
    assert ["perhaps 1 file of uploads lost, kept at oslo" in line for line in lines(moved)] == [True]
    nothing = counted([ROWS | {"commits": 0, "rows": 0}], [FILES | {"count": 0}], None)
    assert nothing["files"] == [] and "nothing lost that could be found" in lines(nothing)[0]
    damaged = counted([ROWS | {"complete": False}], [], None)
    assert "at least" in lines(damaged)[0] and "damaged" in lines(damaged)[1]
    unread = counted([], [], None)
    assert unread["rows"] is None and "was not read" in lines(unread)[0], "nobody has looked is not nothing"


@pytest.mark.parametrize("written", ["2026-11-22T03:10:00.000000Z", "2026-11-29T03:10:00.000000Z"])
def test_what_a_failover_has_lost_is_told_by_the_timeline_that_it_left_and_by_no_clock(
    tmp_path: Path, written: str
) -> None:
    """The old primary's clock is two minutes behind, or was a week ahead when the failover before was taken back."""
    journal = Journal.create(tmp_path, "20261122T031200Z-failover-aaaa", SetClock(datetime(2026, 11, 22, 3, 12)))
    journal.append(Kind.OPENED, {"procedure": "failover", "arguments": {"to": "bergen"}, "steps": ["promote"]})
    details = {"timeline": 4, "switch_point": "0/5000A0"}
    journal.append(Kind.RESULT, {"step": "promote", "result": "done", "details": details, "seconds": 0.1})
    journal.close()
    (entry,) = entries(tmp_path)
    left = left_by(Kept(entry, "bergen"), SPEC)
    assert left == Left("oslo", entry.records[0].at, 4, "0/5000A0")
    here = {"site": "oslo", "generation": 3, "since": "0/5000A0", "written_at": written}
    before = here | {"generation": 1, "since": "0/3000028"}
    rows = [ROWS | before | {"rows": 9}, ROWS | here]
    files = [FILES | before | {"count": 9}, FILES | here]
    found = counted(rows, files, left)
    assert found["rows"] == 2 and [one["count"] for one in found["files"]] == [3]
    late = counted(rows[:1], files[:1], left)
    assert late["rows"] is None and late["files"] == [], "not read since this failover"
    elsewhere = counted([], [FILES | here | {"site": "bergen"}], left)
    assert elsewhere["files"] == [], "a failover loses nothing at the site that takes over"


def test_transactions_that_left_no_row_and_prepared_ones_are_not_nothing() -> None:
    deleted = counted([ROWS | {"rows": 0}], [], None)
    assert (deleted["transactions"], deleted["rows"], deleted["prepared"]) == (7, 0, [])
    text = "\n".join(lines(deleted))
    assert "7 transactions lost that left no row" in text and "secondsite report --lost-rows" in text
    assert "nothing lost" not in text and "heartbeats of our own" in text
    prepared = [{"gid": f"pay-{number}\n", "lsn": "0/3", "at": "…"} for number in range(7)]
    promised = counted([ROWS | {"commits": 0, "rows": 0, "prepared": prepared[:1]}], [], None)
    assert promised["prepared"] == ["pay-0\n"]
    text = "\n".join(lines(promised))
    assert "1 prepared transaction lost that nobody had decided" in text and "secondsite report --lost-rows" in text
    assert "nothing lost" not in text and "transactions" not in text
    many = lines(counted([ROWS | {"prepared": prepared}], [], None))
    assert many[0] == "  in the failover 2 rows lost, written down: secondsite report --lost-rows"
    assert "pay-4" in many[-1] and "pay-5" not in many[-1] and "and 2 more" in many[-1]
    assert counted([], [], None)["prepared"] is None, "nobody has looked"


def test_only_a_move_back_to_the_site_that_the_failover_left_is_a_way_home(tmp_path: Path) -> None:
    away = kept(tmp_path, "20261122T021200Z-switchover-aaaa", "switchover", "2026-11-22T02:12:00+00:00", None, "bergen")
    with pytest.raises(FinalError) as refused:
        way_home([away], SPEC)
    assert refused.value.slug == "other-way" and "--resume --to bergen" in (refused.value.hint or "")
    burned = kept(
        tmp_path, "20261122T031200Z-failover-bbbb", "failover", "2026-11-22T03:12:00+00:00", "completed", "bergen"
    )
    assert way_home([burned], SPEC) is None
    back = kept(tmp_path, "20261122T041200Z-switchover-cccc", "switchover", "2026-11-22T04:12:00+00:00", None, "oslo")
    assert way_home([burned, back], SPEC) == back.entry
    other = kept(
        tmp_path, "20261122T051200Z-switchover-dddd", "switchover", "2026-11-22T05:12:00+00:00", None, "bergen"
    )
    with pytest.raises(FinalError):
        way_home([burned, other], SPEC)


def test_the_service_is_at_home_unless_a_failover_has_taken_it_away(tmp_path: Path) -> None:
    assert at_home([], SPEC, "bergen"), "nothing has ever failed over"
    burned = kept(
        tmp_path, "20261122T031200Z-failover-bbbb", "failover", "2026-11-22T03:12:00+00:00", "completed", "bergen"
    )
    assert not at_home([burned], SPEC, "oslo"), "oslo has become the standby: the move is what is missing"
    assert at_home([burned], SPEC, "bergen"), "it is where the failover had taken it from"
    torn = kept(tmp_path, "20261122T041200Z-failover-cccc", "failover", "2026-11-22T04:12:00+00:00", None, "bergen")
    assert not at_home([torn], SPEC, "oslo"), "a full disk may have kept the end of the journal from being written"
    home = kept(
        tmp_path, "20261122T051200Z-switchover-dddd", "switchover", "2026-11-22T05:12:00+00:00", "completed", "oslo"
    )
    assert at_home([burned, home], SPEC, "bergen")


@pytest.mark.parametrize("role", ["standby", "stopped"])
def test_a_way_back_that_died_behind_the_database_is_seen_by_what_is_still_a_primarys(role: str) -> None:
    facts = HostFacts("oslo", role)
    for still in (("file set uploads",), ("guard",), ("file set uploads", "guard")):
        assert half_taken_back(HostLook("oslo", "key", facts, as_primary=still), left=True)
        assert not half_taken_back(HostLook("oslo", "key", facts, as_primary=still), left=False), "nobody gave it up"
    assert not half_taken_back(HostLook("oslo", "key", facts), left=True), "it has come to its end"
    assert not half_taken_back(HostLook("oslo", "key", HostFacts("oslo", "primary"), as_primary=("guard",)), left=True)


def test_what_is_given_up_at_a_site_is_of_before_the_failover_that_left_it_and_of_nothing_newer(tmp_path: Path) -> None:
    def move(hour: int, procedure: str, outcome: str | None, to: str) -> Kept:
        name = f"20261122T{hour:02}1200Z-{procedure}-aaaa"
        return kept(tmp_path, name, procedure, f"2026-11-22T{hour:02}:12:00+00:00", outcome, to)

    burned = move(3, "failover", "completed", "bergen")
    assert left_by_failover([burned], SPEC, "oslo")
    assert not left_by_failover([burned], SPEC, "bergen") and not left_by_failover([], SPEC, "oslo")
    refused = move(4, "switchover", "rolled_back", "oslo")
    assert left_by_failover([burned, refused], SPEC, "oslo"), "the move that files-are-source has sent back"
    drilled = move(5, "gameday", "completed", "oslo")
    assert left_by_failover([burned, refused, drilled], SPEC, "oslo")
    for newer in (
        move(6, "switchover", None, "oslo"),
        move(7, "switchover", "completed", "oslo"),
        move(8, "failover", "blocked", "oslo"),  # it has not promoted; its files may be the original already
        move(9, "failover", "completed", "oslo"),
    ):
        assert not left_by_failover([burned, refused, newer], SPEC, "oslo"), newer.entry.id


def test_the_plan_of_a_failback_shows_the_move_home_and_its_outage() -> None:
    step = {"title": "Promote the standby", "site": "oslo", "point_of_no_return": True}
    refused = {"message": "it is a former primary", "hint": "secondsite apply --replace-standby oslo"}
    preview = {
        "to": "oslo", "from": "bergen", "steps": [step], "would_be_refused": refused, "faults": [], "checks": [],
        "outage": {"expected_seconds": None, "earlier": 0},
    }  # fmt: skip
    text = "\n".join(switchover_lines(planned_move(preview, (0.7, 0.5, 0.6), after_changes=True)))
    assert "oslo takes over from bergen" in text and "about 0.60 s, from 3 earlier" in text
    assert "Promote the standby" in text and "refused" not in text, "the changes before it take that away"
    still = "\n".join(switchover_lines(planned_move(preview, (), after_changes=False)))
    assert "would be refused" in still and "it is a former primary" in still


def test_a_generation_that_was_written_down_twice_is_counted_once() -> None:
    first = {"site": "oslo", "generation": 1, "since": "0/3", "written_at": "2026-11-22T04:00:00Z"}
    records = [
        first | {"commits": 3, "rows": 2},
        first | {"written_at": "2026-11-22T05:00:00Z", "commits": 4, "rows": 3},
    ]
    other = first | {"generation": 3, "since": "0/9", "commits": 1, "rows": 1}
    found = counted([*records, other], (), None)
    assert (found["transactions"], found["rows"]) == (5, 4)
