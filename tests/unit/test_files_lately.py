"""What is remembered of the paths of a copy: which of them count, and when they do again."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondsite.files import lately
from secondsite.files.lately import SECONDS, Lately, Paths


def test_a_file_that_is_rewritten_all_the_time_counts_once_an_hour() -> None:
    seen, counts = Lately(), []
    for step in range(4000):
        now = 1000.0 + 2.0 * step
        counts += [now] * len(seen.counting([b"log"], now))
        seen.rewritten.add([b"log"], now)
    assert len(counts) == 3 and counts[1] - counts[0] >= SECONDS


def test_what_came_a_moment_ago_does_not_count_when_it_is_rewritten() -> None:
    seen = Lately()
    seen.came.add([b"new"], 100.0)
    assert seen.counting([b"new", b"old"], 101.0) == {b"old"}
    assert seen.counting([b"new"], 100.0 + SECONDS) == {b"new"}
    assert seen.counting([b"new"], 99.0) == {b"new"}, "the clock was set back: one too many is no harm"
    seen.clear()
    assert seen.counting([b"new"], 101.0) == {b"new"}


def test_no_more_is_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "MOST_PATHS", 3)
    paths = Paths()
    paths.add([b"a", b"b", b"c", b"d"], 0.0)
    assert [paths.has(one, 1.0) for one in (b"a", b"c", b"d")] == [True, True, False]
    paths.add([b"a"], 1000.0)
    paths.add([b"d"], SECONDS + 1.0)  # those of long ago make room
    assert paths.has(b"d", SECONDS + 2.0) and paths.touched(b"a", SECONDS + 2.0) and not paths.has(b"a", SECONDS + 2.0)
    assert not paths.touched(b"b", SECONDS + 2.0)


def test_each_set_has_its_own() -> None:
    assert lately.of("a", Path("/x")) is lately.of("a", Path("/x")) is not lately.of("b", Path("/x"))
