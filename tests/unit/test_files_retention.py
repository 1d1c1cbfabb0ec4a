"""Which versions of a file set are kept: laws over generated histories, and what a clock that jumps costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.files.versions.retention import Mark, due, kept, overdue
from secondsite.files.zfs.model import Dataset, Snapshot
from secondsite.files.zfs.retain import kept_by, removable
from secondsite.spec.retention import Keep, parse

DAY = 86400.0
RULES = parse("1h every 5m, 24h hourly, 14d daily, 8w weekly, 12mo monthly")

rules_of = st.lists(
    st.tuples(st.sampled_from([300.0, 3600.0, DAY, 7 * DAY, 30 * DAY]), st.integers(1, 5)),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one[0],
).map(lambda rules: tuple(sorted((Keep(every, every * count) for every, count in rules), key=lambda rule: rule.every)))
moments = st.lists(st.floats(0, 400 * DAY), max_size=60)


def kept_snapshots(rules: Sequence[Keep], known: Iterable[Mark]) -> frozenset[int]:
    """The same law, asked for snapshots of ZFS."""
    taken = [
        Snapshot(f"secondsite-20261122T163000Z-{one.number:08x}", one.number, one.number, int(one.made_at))
        for one in known
    ]
    return frozenset(kept_by(taken, rules, now=200 * DAY))


Law = Callable[[Sequence[Keep], Iterable[Mark]], frozenset[int]]
both = pytest.mark.parametrize("law", [kept, kept_snapshots])


def marks(times: list[float]) -> list[Mark]:
    return [Mark(number, at) for number, at in enumerate(times)]


def test_the_rules_of_the_manual_are_understood() -> None:
    assert parse("12mo monthly, 8w weekly, 14d daily, 24h hourly, 1h every 5m") == RULES
    assert [rule.number for rule in RULES] == [12, 24, 14, 8, 12]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1h every 10s", "shortest step"),
        ("1y every 5m", "more than"),
        ("1h every", "no rule"),
        ("3mo yearly", "keeps nothing"),
    ],
)
def test_a_rule_that_would_hurt_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


@both
@given(rules_of, moments)
def test_the_newest_is_never_removed_whatever_the_clock_said(
    law: Law, rules: tuple[Keep, ...], times: list[float]
) -> None:
    known = marks(times)
    assert not known or known[-1].number in law(rules, known)


@given(rules_of, moments)
def test_the_number_is_bounded(rules: tuple[Keep, ...], times: list[float]) -> None:
    assert len(kept(rules, marks(times))) <= sum(rule.number for rule in rules) + 1
    assert len(kept_snapshots(rules, marks(times))) <= sum(2 * rule.number + 1 for rule in rules) + 1


@both
@given(rules_of, moments.map(sorted))
def test_removing_what_is_not_kept_changes_nothing_about_what_is_kept(
    law: Law, rules: tuple[Keep, ...], times: list[float]
) -> None:
    known = marks(times)
    stay = law(rules, known)
    assert law(rules, [mark for mark in known if mark.number in stay]) == stay


@both
@given(rules_of, moments.map(sorted))
def test_nothing_is_removed_that_would_be_wanted_later(law: Law, rules: tuple[Keep, ...], times: list[float]) -> None:
    """Pruned after each version, or once at the end: the same versions stay."""
    pruned: list[Mark] = []
    for mark in marks(times):
        pruned.append(mark)
        stay = law(rules, pruned)
        pruned = [one for one in pruned if one.number in stay]
    assert {mark.number for mark in pruned} == law(rules, marks(times))


@both
@given(rules_of, moments, st.floats(0, 4000 * DAY))
def test_a_clock_that_jumps_costs_each_rule_one_version_at_most(
    law: Law, rules: tuple[Keep, ...], times: list[float], jumped: float
) -> None:
    known = marks(times)
    before = law(rules, known)
    after = law(rules, [*known, Mark(len(known), jumped)])
    assert len(before - after) <= len(rules) + 1  # the one that was the newest, and each rule's oldest


@both
@given(rules_of, moments, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_listed_does_not_matter(
    law: Law, rules: tuple[Keep, ...], times: list[float], random: object
) -> None:
    known = marks(times)
    mixed = list(known)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert law(rules, mixed) == law(rules, known)


def snapshots(times: list[float]) -> tuple[Snapshot, ...]:
    return tuple(
        Snapshot(f"secondsite-20261122T163000Z-{number:08x}", number, number, int(at))
        for number, at in enumerate(times)
    )


@pytest.mark.parametrize("ahead", [0, 30, 3000])
def test_a_standby_that_boots_with_its_clock_ahead_destroys_no_snapshot(ahead: int) -> None:
    taken = Dataset("", 1, snapshots([day * DAY for day in range(14)]))
    assert removable(taken, parse("24h hourly, 14d daily"), now=(13 + ahead) * DAY, bases={13}) == ()


def test_a_source_that_tells_of_a_new_day_with_each_round_costs_no_snapshot() -> None:
    """The times of snapshots are the source's, and it may be in an enemy's hands."""
    taken = Dataset("", 1, snapshots([day * DAY for day in range(14)] + [(100 + lie) * DAY for lie in range(50)]))
    gone = removable(taken, parse("14d daily"), now=13 * DAY, bases={63})
    assert gone and min(each.guid for each in gone) > 13


def test_an_hour_a_day_and_a_week_ago_can_be_had_after_a_year_of_a_version_each_quarter_of_an_hour() -> None:
    now = 400 * DAY
    held: list[Mark] = []
    for number in range(400 * 96):
        held.append(Mark(number, number * 900.0))
        stay = kept(RULES, held)
        held = [one for one in held if one.number in stay]
    ages = sorted(now - one.made_at for one in held)
    assert len(held) <= 71
    for age, near in (
        (1800.0, 900.0),
        (7 * 3600.0, 3600.0),
        (10 * DAY, DAY),
        (50 * DAY, 7 * DAY),
        (330 * DAY, 30 * DAY),
    ):
        assert any(abs(one - age) <= near for one in ages), age
    assert all(later > earlier for earlier, later in pairwise(ages))


def test_one_is_due_with_each_step_and_at_once_where_there_is_none() -> None:
    assert due(RULES, [], 0)
    assert not due(RULES, [Mark(0, 300.0)], 599.9)
    assert due(RULES, [Mark(0, 300.0)], 600.0)
    assert due(RULES, [Mark(0, 10_000.0)], 600.0), "the clock was set back: one too many costs nothing"


def test_nobody_having_looked_is_overdue_and_so_is_a_look_in_the_future() -> None:
    assert overdue(RULES, None, 1000.0)
    assert not overdue(RULES, 1000.0, 1590.0)
    assert overdue(RULES, 1000.0, 1601.0)
    assert overdue(RULES, 10_000.0, 1000.0)
