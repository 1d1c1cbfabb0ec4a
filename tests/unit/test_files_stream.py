"""The stream's pure parts: when a path is told, what the alarms say, and that what is sent is what is read."""

from __future__ import annotations

import stat
import string
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.files.budget import (
    LEAST_CHANGES,
    Alarm,
    Hour,
    alarm,
    allowed_changes,
    allowed_deletions,
    counted,
    last_hour,
)
from secondsite.files.observe import state_of
from secondsite.files.rsync import output
from secondsite.files.state import FilesStatus
from secondsite.files.store import Record
from secondsite.files.stream import wire
from secondsite.files.stream.beneath import Root
from secondsite.files.stream.entry import ACLS, Attributes, Entry, Kind
from secondsite.files.stream.exclude import understood
from secondsite.files.stream.heard import Heard, reached
from secondsite.files.stream.here import Here
from secondsite.files.stream.pace import BUSY_LONGEST_SECONDS, BUSY_QUIET_SECONDS, LONGEST_SECONDS, QUIET_SECONDS, Pace
from secondsite.files.stream.said import said
from secondsite.files.stream.sizes import Sizes
from secondsite.files.stream.tell import pieces
from secondsite.spec import FileSet

NAMES = (
    st.binary(min_size=1, max_size=255)
    .filter(lambda name: b"/" not in name and b"\0" not in name)
    .filter(lambda name: name not in (b".", b".."))
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
XATTRS = st.dictionaries(
    st.sampled_from(("user.a", "user.b", "trusted.c", *ACLS)), st.binary(max_size=50), max_size=3
).map(lambda found: tuple(sorted(found.items())))
ATTRIBUTES = st.builds(
    Attributes,
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
    st.integers(0, 2**32 - 2),
    st.integers(-(2**62), 2**62),
    XATTRS,
)
CONTENTS = st.binary(max_size=300)
ENTRIES = st.one_of(
    st.builds(Entry, PATHS, st.just(Kind.GONE)),
    st.builds(Entry, PATHS, st.just(Kind.FOLDER), ATTRIBUTES),
    st.builds(
        Entry, PATHS, st.just(Kind.LINK), ATTRIBUTES,
        target=st.binary(min_size=1, max_size=200).filter(lambda to: b"\0" not in to),
    ),
    st.builds(
        lambda path, at, data, hole: Entry(
            path, Kind.FILE, at, hole + len(data), ((hole, len(data)),) if data else (), data, sparse=hole > 0
        ),
        PATHS, ATTRIBUTES, CONTENTS, st.integers(0, 2**40),
    ),
    st.builds(lambda path, at, size: Entry(path, Kind.FILE, at, size), PATHS, ATTRIBUTES, st.integers(0, 2**60)),
    st.builds(
        lambda path, names: Entry(path, Kind.NAMES, names=tuple(sorted(names))), PATHS, st.sets(NAMES, max_size=5)
    ),
)  # fmt: skip


@given(ENTRIES)
def test_what_is_sent_is_what_is_read(entry: Entry) -> None:
    sent = wire.encode(entry)
    assert wire.decode(sent[5:]) == entry


@given(st.binary(max_size=400))
def test_whatever_comes_is_read_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        wire.decode(body)
    except wire.Broken:
        return


def test_a_path_that_was_changed_once_is_told_at_once() -> None:
    pace = Pace(0)
    pace.note(b"a", 1, 100.0, tree=False, now=10.0)
    assert pace.due(10.0, most=9) == []
    assert [one.path for one in pace.due(10.0 + QUIET_SECONDS, most=9)] == [b"a"]


def test_in_a_run_of_changes_none_waits_longer_than_the_longest() -> None:
    pace = Pace(0)
    for step in range(10):
        pace.note(b"%d" % step, step + 1, 100.0, tree=False, now=10.0 + step * 0.01)
    assert [one.path for one in pace.due(10.0 + LONGEST_SECONDS, most=9)] == [b"0"]


def test_a_path_that_is_rewritten_all_the_time_is_told_every_two_seconds() -> None:
    pace, told = Pace(0), []
    for step in range(1000):
        now = 10.0 + step * 0.01
        pace.note(b"hot", step + 1, 100.0 + step * 0.01, tree=False, now=now)
        due = pace.due(now, most=9)
        if due:
            pace.told(due, now=now, looked_at=100.0 + step * 0.01)
            told.append(now)
    assert 4 <= len(told) <= 6
    assert all(b - a >= BUSY_LONGEST_SECONDS - 0.02 for a, b in pairwise(told[1:]))


def test_a_path_that_was_told_a_moment_ago_waits_until_it_is_quiet() -> None:
    pace = Pace(0)
    pace.note(b"a", 1, 100.0, tree=False, now=10.0)
    pace.told(pace.due(10.1, most=9), now=10.1, looked_at=100.1)
    pace.note(b"a", 2, 100.2, tree=False, now=10.2)
    assert pace.due(10.2 + LONGEST_SECONDS, most=9) == []
    assert len(pace.due(10.2 + BUSY_QUIET_SECONDS, most=9)) == 1


def test_the_number_stays_below_whatever_waits_and_the_moment_before_it() -> None:
    pace = Pace(4)
    pace.note(b"a", 5, 100.0, tree=False, now=10.0)
    pace.note(b"b", 6, 101.0, tree=False, now=10.0)
    assert (pace.floor, pace.as_of(200.0)) == (4, 100.0)
    (first, second) = pace.due(11.0, most=9)
    pace.told([second], now=11.0, looked_at=150.0)
    assert (pace.floor, pace.as_of(200.0)) == (4, 100.0)
    pace.told([first], now=11.0, looked_at=150.0)
    assert (pace.floor, pace.as_of(200.0)) == (6, 200.0)
    pace.note(b"a", 7, 100.0, tree=False, now=12.0)  # the journal keeps the first moment until it hears that it is safe
    assert pace.as_of(200.0) == 150.0, "what was before the look at it was told"


def test_a_clock_that_was_set_back_hides_no_change() -> None:
    pace = Pace(0)
    pace.note(b"a", 1, 4600.0, tree=False, now=1.0, clock=4600.0)
    pace.told(pace.due(2.0, most=9), now=2.0, looked_at=4601.0)  # an hour ahead
    pace.note(b"a", 2, 1003.0, tree=False, now=3.0, clock=1003.1)
    assert pace.as_of(1005.0) == 1003.0


def test_what_is_below_a_folder_that_is_still_to_be_walked_waits_for_it() -> None:
    pace = Pace(0)
    pace.note(b"moved", 1, 100.0, tree=True, now=10.0)
    pace.note(b"moved/in/new", 2, 100.0, tree=False, now=10.0)
    pace.note(b"moved-not", 3, 100.0, tree=False, now=10.0)
    assert [one.path for one in pace.due(11.0, most=9)] == [b"moved", b"moved-not"]


def rules(**more: float) -> dict[str, Any]:
    return {"max_delete": 0.2, "max_change": 0.5} | more


def test_a_folder_that_comes_again_while_it_is_walked_is_walked_again() -> None:
    """Moved away, changed there, and moved back: the walk may have passed before that."""
    pace = Pace(0)
    pace.note(b"a", 1, 100.0, tree=True, now=0.0)
    (tree,) = pace.due(1.0, most=10)
    pace.walks(tree)
    assert not pace.due(1.0, most=10)
    pace.note(b"a", 2, 101.0, tree=True, now=1.1)
    pace.walked(tree, now=1.2)
    assert pace.floor < 2 and pace.due(9.0, most=10) == [tree]
    pace.walks(tree)
    pace.walked(tree, now=9.1)
    assert pace.floor == 2 and not pace.due(20.0, most=10)


def test_a_file_in_the_place_of_a_folder_waits_for_its_moment_and_holds_the_number_back() -> None:
    pace = Pace(0)
    pace.note(b"a", 1, 100.0, tree=True, now=0.0)
    (tree,) = pace.due(1.0, most=10)
    pace.walks(tree)
    pace.is_file(tree, now=1.0, at=9.0)
    assert (pace.due(8.9, most=10), pace.floor, pace.as_of(200.0)) == ([], 0, 100.0)
    (again,) = pace.due(9.0, most=10)
    assert not again.tree


def test_a_folder_that_took_the_place_of_such_a_file_is_walked() -> None:
    pace = Pace(0)
    pace.note(b"a", 1, 100.0, tree=True, now=0.0)
    (tree,) = pace.due(1.0, most=10)
    pace.walks(tree)
    pace.note(b"a", 2, 101.0, tree=True, now=1.5)
    pace.is_file(tree, now=2.0, at=9.0)
    (again,) = pace.due(2.1, most=10)
    assert again.tree


def test_a_set_that_gets_much_smaller_within_a_minute_falls_at_once_or_bit_by_bit() -> None:
    assert Sizes().fall(0.0, 100, 79, 0.2) and not Sizes().fall(0.0, 100, 80, 0.2)
    sizes, entries, steps = Sizes(), 100, 0
    while not sizes.fall(steps * 2.0, entries, entries - 3, 0.2):
        entries, steps = entries - 3, steps + 1
        sizes.rest(steps * 2.0 - 1.0, entries)
    assert entries == 82
    assert not sizes.fall(steps * 2.0, 82, 79, 0.2), "what was looked at once is looked at once"
    slowly = Sizes()
    for number in range(80):
        assert not slowly.fall(number * 61.0, 100 - number, 99 - number, 0.2)
        slowly.rest(number * 61.0 + 1.0, 99 - number)
    assert not Sizes().fall(0.0, 12, 2, 0.2), "of a small set some may go"
    assert not Sizes().fall(0.0, 12_000, 2, 1.0)
    assert Sizes().fall(0.0, 12, 11, 0.0), "nothing may go"


def test_a_size_that_is_half_of_a_rename_is_none() -> None:
    """However long it takes: the source says that more waits."""
    sizes = Sizes()
    sizes.rest(0.0, 200)
    assert not sizes.fall(1.0, 200, 300, 0.2) and not sizes.fall(4.0, 300, 400, 0.2)
    assert not sizes.fall(8.0, 400, 300, 0.2) and not sizes.fall(9.0, 300, 200, 0.2)
    sizes.rest(10.0, 200)
    assert not sizes.fall(10.0, 200, 400, 0.2)
    sizes.rest(11.0, 400)
    assert sizes.fall(12.0, 400, 300, 0.2), "these were there, and are gone"


def test_a_set_that_is_never_at_rest_falls_all_the_same() -> None:
    sizes = Sizes()
    assert not any(sizes.fall(number * 0.1, 1000 + number, 1001 + number, 0.2) for number in range(200))
    assert sizes.fall(20.1, 1200, 700, 0.2)


def test_a_pull_may_rewrite_what_the_hour_has_left() -> None:
    assert allowed_changes((), 0.0, entries=4000, max_change=0.5) == 2000
    assert allowed_changes(((0, 5, 700, 0),), 60.0, entries=4000, max_change=0.5) == 1295
    assert allowed_changes(((0, 0, 9000, 0),), 60.0, entries=4000, max_change=0.5) == 0
    assert allowed_changes(((0, 0, 9000, 0),), 7200.0, entries=10, max_change=0.5) == LEAST_CHANGES
    assert allowed_changes((), 0.0, entries=4000, max_change=1.0) is None


def test_rewritten_files_are_counted_by_the_line_that_rsync_writes_of_each() -> None:
    told = (
        b".d..t......\n>f.st......\n\r      7  23%    0.00kB/s    0:00:00\r (xfr#1, to-chk=5/7)\n>fcst......\n"
        b">f+++++++++\ncd+++++++++\nhf+++++++++\ncL+++++++++\n.f...p.....\n>f..t......\n"
        b"cLc.t......\n.L..t......\n"
    )
    assert len(output.rewritten(told)) == 4
    named = b">f.st...... log\\#012s/a b\n\r  7  23% 0.00kB/s\r\n>f+++++++++ new\ncLc.t...... link\n.d..t...... ./\n"
    assert output.rewritten(named) == [b"log\\#012s/a b", b"link"]


def test_files_that_make_room_for_a_folder_are_counted_too() -> None:
    told = (
        b"delete_in_dir(a)\ndelete_item(a/b) mode=100644 flags=18\ndelete_item(c) mode=120777 flags=18\n"
        b"delete_item(d) mode=40755 flags=34\ndelete_item(d/e) mode=100644 flags=4\ncL+++++++++\ncLc.t......\n"
        b"delete_item(extra) mode=100600 flags=2\ncd+++++++++\ndelete_item(x) y) mode=100644 flags=32\r\n"
    )
    assert output.replaced(told) == 2


def test_slow_deletions_cost_as_much_as_quick_ones() -> None:
    window: tuple[tuple[int, int, int, int], ...] = ()
    entries, now, stopped = 1000, 0.0, None
    while stopped is None:
        stopped = alarm(window, now, entries=entries, deleted=5, rewritten=0, **rules())
        window = counted(window, now, deleted=5, rewritten=0)
        entries, now = entries - 5, now + 60
    assert stopped.alarm is Alarm.DELETIONS and entries >= 790


def test_after_an_hour_the_budget_is_whole_again() -> None:
    window = counted((), 0.0, deleted=199, rewritten=0)
    assert alarm(window, 0.0, entries=801, deleted=5, rewritten=0, **rules()) is not None
    assert alarm(window, 3700.0, entries=801, deleted=5, rewritten=0, **rules()) is None


def test_a_clock_that_is_set_back_forgets_no_deletion() -> None:
    window = counted((), 7200.0, deleted=199, rewritten=0)
    assert alarm(window, 7000.0, entries=801, deleted=5, rewritten=0, **rules()) is not None


def test_of_a_small_set_a_few_files_may_go_one_after_the_other_and_not_at_once() -> None:
    window: tuple[tuple[int, int, int, int], ...] = ()
    for number in range(10):
        assert alarm(window, 60.0 * number, entries=30 - number, deleted=1, rewritten=0, **rules()) is None
        window = counted(window, 60.0 * number, deleted=1, rewritten=0)
    assert alarm(window, 600.0, entries=20, deleted=1, rewritten=0, **rules()) is not None
    assert alarm((), 0.0, entries=10, deleted=3, rewritten=0, **rules()) is not None
    assert alarm((), 0.0, entries=10, deleted=1, rewritten=0, **rules(max_delete=0.0)) is not None


def test_what_came_within_the_hour_makes_no_budget_larger() -> None:
    window = counted((), 0.0, deleted=0, rewritten=0, before=301, after=5001)
    assert alarm(window, 60.0, entries=5001, deleted=61, rewritten=0, **rules()) is None
    at_once = alarm(window, 60.0, entries=5001, deleted=62, rewritten=0, **rules())
    assert at_once is not None and at_once.alarm is Alarm.DELETIONS
    many = alarm(window, 60.0, entries=5001, deleted=0, rewritten=1001, **rules())
    assert many is not None and many.alarm is Alarm.CHANGES
    assert allowed_changes(window, 60.0, entries=5001, max_change=0.5) == 151
    assert alarm(window, 3660.0, entries=5001, deleted=1000, rewritten=0, **rules()) is None
    window = counted(window, 120.0, deleted=50, rewritten=0, before=5001, after=4951)
    assert last_hour(window, 180.0, entries=4951) == Hour(50, 0, 251)
    assert allowed_deletions(last_hour(window, 180.0, entries=4951), 0.2) == 11


def test_what_came_within_the_hour_and_went_again_makes_no_budget_smaller() -> None:
    window = counted((), 0.0, deleted=0, rewritten=0, before=1000, after=9000)
    window = counted(window, 1800.0, deleted=0, rewritten=0, before=9000, after=1000)
    assert last_hour(window, 1860.0, entries=1000) == Hour(0, 0, 1000)
    assert last_hour(window, 3700.0, entries=1000) == Hour(0, 0, 1000)


def test_where_everything_may_go_nothing_is_counted() -> None:
    window = counted((), 0.0, deleted=0, rewritten=0, before=1, after=900)
    window = counted(window, 0.0, deleted=400, rewritten=0, before=900, after=500)
    assert alarm(window, 60.0, entries=500, deleted=400, rewritten=0, **rules(max_delete=1.0, max_change=1.0)) is None


def test_a_minute_in_which_nothing_happened_is_not_kept() -> None:
    assert counted((), 0.0, deleted=0, rewritten=0, before=7, after=7) == ()


def test_a_small_set_may_be_rewritten_as_a_whole_and_a_large_one_may_not() -> None:
    small = alarm((), 0.0, entries=100, deleted=0, rewritten=100, **rules())
    large = alarm((), 0.0, entries=9000, deleted=0, rewritten=5000, **rules())
    never = alarm((), 0.0, entries=9000, deleted=0, rewritten=9000, **rules(max_change=1.0))
    assert small is None and never is None
    assert large is not None and large.alarm is Alarm.CHANGES and large.held_back == 5000 > LEAST_CHANGES


def test_a_rename_of_all_files_looks_like_an_attack_too() -> None:
    found = alarm((), 0.0, entries=9000, deleted=5000, rewritten=0, **rules(max_delete=0.9))
    assert found is not None and found.alarm is Alarm.CHANGES


@given(
    st.lists(st.tuples(st.floats(0, 2e4), st.integers(0, 50), st.integers(0, 50)), max_size=20), st.integers(60, 9999)
)
def test_no_hour_ever_deletes_more_than_the_budget(batches: list[tuple[float, int, int]], entries: int) -> None:
    window: tuple[tuple[int, int, int, int], ...] = ()
    here, done = entries, list[tuple[float, int, int]]()
    for now, deleted, rewritten in sorted(batches):
        if (
            alarm(window, now, entries=here, deleted=deleted, rewritten=rewritten, max_delete=0.2, max_change=0.5)
            is None
        ):
            window = counted(window, now, deleted=deleted, rewritten=rewritten)
            here -= deleted
            done.append((now, deleted, here + deleted))
    for now, _, _ in done:
        hour = [(gone, before) for at, gone, before in done if now - 3500 <= at <= now]
        assert sum(gone for gone, _ in hour) <= max(1, -(-hour[0][1] // 5)) or not any(gone for gone, _ in hour)


@pytest.mark.parametrize("pattern", ["[ab]", "back\\slash", "+ - x", "+ ", "- x", "!", "/", "/***", "a//b", "a****"])
def test_what_is_more_than_a_plain_pattern_is_left_to_rsync(pattern: str) -> None:
    assert not understood([pattern]) and understood(["*.tmp", "/cache/", "a/**/b", "dir/***", string.ascii_letters])


def following(*, at: float = 1000.0, behind: float = 0.0, pending: int = 0) -> Heard:
    return Heard("e", at, 5000.0, 5000.0 - behind, pending)


def seen(heard: Heard | None, **more: object) -> tuple[FilesStatus, str | None, int | None]:
    record = Record(role="pulled", complete_at=900.0, confirmed_at=900.0, settled=True, outcome="complete", epoch="e")
    fileset = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})
    state = state_of(fileset, record, now=1001.0, standby=True, heard=heard, **more)  # type: ignore[arg-type]
    return state.status, state.kept, state.pending_files


def test_a_set_is_current_while_the_source_says_so_however_its_clock_stands() -> None:
    assert seen(following()) == (FilesStatus.CURRENT, "stream", 0)


def test_silence_is_stale_and_says_nothing_of_what_is_missing() -> None:
    assert seen(following(at=900.0)) == (FilesStatus.STALE, "pull", None)
    assert seen(following(at=900.0, pending=7)) == (FilesStatus.STALE, "pull", 7), "what was told stays known"
    assert seen(None) == (FilesStatus.STALE, "pull", None)


def test_how_old_a_stale_copy_is_goes_by_the_last_word_and_not_by_a_pull_long_before() -> None:
    record = Record(role="pulled", complete_at=100.0, confirmed_at=100.0, settled=True, outcome="complete", epoch="e")
    fileset = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})
    stale = state_of(fileset, record, now=1000.0, standby=True, heard=following(at=980.0, behind=2.0))
    assert (stale.status, stale.reason) == (FilesStatus.STALE, "it was last known to be complete 22 s ago")


def test_what_lies_ahead_of_the_sources_own_clock_is_not_believed() -> None:
    word = {"seq": 3, "pending": 0, "waiting": [], "as_of": 9e10, "now": 5000.0}
    assert said(word, least=0)["as_of"] == 5000.0


def test_where_the_clock_of_the_source_was_set_right_its_last_word_counts_and_not_the_greatest() -> None:
    record = Record(role="pulled", complete_at=8600.0, confirmed_at=990.0, epoch="e")
    assert reached(record, following()) == 5000.0
    assert reached(record, following(at=980.0)) == 8600.0, "a pull came after it"
    assert reached(record, None) == 8600.0
    assert reached(Record(), None) is None


def test_a_long_queue_is_not_current() -> None:
    assert seen(following(behind=60.0, pending=7)) == (FilesStatus.PULLING, "stream", 7)


def test_a_set_that_is_pulled_says_why_it_is_not_followed() -> None:
    record = Record(role="pulled", complete_at=1000.0, confirmed_at=1000.0, settled=True, outcome="complete")
    fileset = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})
    state = state_of(fileset, record, now=1001.0, standby=True, unstreamed="the door is shut")
    assert (state.status, state.kept, state.reason) == (
        FilesStatus.CURRENT, "pull", "pulled each 3 s: the door is shut",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 10, 11, 1000])
def test_frames_are_written_in_a_row_some_together(size: int) -> None:
    frames = [bytes([each]) * (each % 7 + 1) for each in range(50)]
    found = list(pieces(frames, size))
    assert b"".join(found) == b"".join(frames)
    assert all(len(one) >= size for one in found[:-1])
    assert all(len(one) < size + 7 for one in found)
    assert list(pieces([], size)) == []


def test_what_is_here_is_looked_at_once_and_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("12345")
    (tmp_path / "link").symlink_to("folder")
    with Root(bytes(tmp_path)) as root, Here(root) as here:
        first = here.stat(b"folder/file")
        assert first is not None and first.st_size == 5
        (tmp_path / "folder" / "file").unlink()
        assert here.stat(b"folder/file") is first
        link = here.stat(b"link")
        assert link is not None and stat.S_ISLNK(link.st_mode)
        nowhere = (b"link/file", b"folder/none", b"none/none", b"folder/file/none", b"a" * 300, b"a/" * 2100 + b"a")
        assert [here.stat(path) for path in nowhere] == [None] * len(nowhere)
        own = here.stat(b"")
        assert own is not None and stat.S_ISDIR(own.st_mode)
