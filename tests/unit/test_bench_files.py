"""What the benchmarks of file sets count, and when they say that a target is met."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import file_sites, files_idle, files_latency
from bench.file_sites import Folders
from bench.files_latency import over_rounds, quantile
from bench.results import Metric, Series, paired, table


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (4, 0.5, 2), (5, 0.5, 3), (20, 0.95, 19), (21, 0.95, 20), (100, 0.95, 95)],
)  # fmt: skip
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(count: int, share: float, expected: int) -> None:
    assert quantile([float(each) for each in range(count, 0, -1)], share) == expected


def test_the_late_ones_are_counted_over_all_changes_and_the_rounds_stand_beside_it() -> None:
    seen = over_rounds("late", [[1.0] * 9 + [9.0], [1.0] * 10], 0.95)
    assert (seen.median, seen.min, seen.max) == (1.0, 1.0, 9.0)


def test_a_delay_has_to_be_short_itself_however_slow_the_other_is() -> None:
    short, late = files_latency.metrics([[0.1, 0.2, 0.3]], [[1.0, 2.0, 3.0]])
    assert (short.ratio, short.met) == (0.1, False)  # 0.2 s is more than 0.15 s
    assert (late.ratio, late.met) == (0.1, True)
    assert "| 0.15 s ✗ |" in table([short]) and "| 0.5 s ✓ |" in table([late])


def test_what_is_compared_has_to_reach_its_ratio() -> None:
    one = Metric("copy", "s", Series.of("copy", [8.0]), 0.8, Series.of("other", [10.0]))
    assert one.met is True
    assert Metric("copy", "s", Series.of("copy", [8.1]), 0.8, one.baseline).met is False


@pytest.mark.parametrize("alone", [False, True])
def test_a_metric_is_read_as_it_was_written(alone: bool) -> None:
    one = Metric("copy", "s", Series.of("copy", [1.0, 2.0]), 0.5, Series.of("other", [9.0]), alone)
    again = Metric.read(one.document())
    assert (again, again.met) == (one, one.met)


def test_rounds_that_stand_side_by_side_are_compared_each_by_itself() -> None:
    """The disk is three times as slow in the second round, for both."""
    ours, theirs = [1.1, 3.3, 1.0], [1.0, 3.0, 1.0]
    one = Metric("round", "s", Series.of("round", ours), 1.1, Series.of("pipe", theirs), paired=paired(ours, theirs))
    assert (one.ratio, one.met) == (1.1, True)
    assert Metric.read(one.document()) == one


def test_file_sets_cost_what_is_more_than_without_them() -> None:
    agent, watch, daemon = files_idle.UNITS
    with_files = [{agent: 1.0 + 0.01 * each, watch: 0.1, daemon: 0.0} for each in range(3)]
    without = [{agent: 0.8, watch: 0.0, daemon: 0.0}] * 3
    cost, watchers, agents, everything = files_idle.metrics(with_files, without)
    assert cost.measured.median == pytest.approx(0.31)
    assert (watchers.measured.median, agents.measured.median) == (0.1, 0.8)
    assert everything.measured.median == pytest.approx(cost.measured.median + agents.measured.median)
    assert cost.met is True


def test_a_service_file_without_its_sets_has_all_its_other_sections() -> None:
    text = '[service]\nname = "a"\n\n[[files]]\nname = "up"\npath = "/srv"\n\n[[dns]]\nzone = "x"\n'
    assert files_idle.without_files(text) == '[service]\nname = "a"\n\n[[dns]]\nzone = "x"\n'


@pytest.fixture
def filled(tmp_path: Path) -> Folders:
    for name in ("source", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("same")
        os.utime(tmp_path / name / "file", ns=(5, 5))
    return Folders("here", tmp_path / "source", tmp_path / "copy")


def test_both_ends_are_equal_when_files_are_and_what_is_half_made_does_not_count(filled: Folders) -> None:
    assert file_sites.equal(filled)
    (filled.copy / ".file.Xa81").write_text("half")
    assert file_sites.count(filled.copy) == 1


@pytest.mark.parametrize("what", ["content", "mode", "time", "missing", "more"])
def test_any_difference_of_a_file_is_one(filled: Folders, what: str) -> None:
    file = filled.copy / "file"
    if what == "content":
        file.write_text("SAME")
        os.utime(file, ns=(5, 5))
    elif what == "mode":
        file.chmod(0o600 if file.stat().st_mode & 0o777 != 0o600 else 0o644)
    elif what == "time":
        os.utime(file, ns=(5, 6))
    elif what == "missing":
        file.unlink()
    else:
        (filled.copy / "more").write_text("")
    assert not file_sites.equal(filled)


def test_so_many_files_are_made_a_hundred_in_a_folder(tmp_path: Path) -> None:
    file_sites.fill(tmp_path / "new", 201)
    assert file_sites.count(tmp_path / "new") == 201
    assert len(list((tmp_path / "new").iterdir())) == 3
