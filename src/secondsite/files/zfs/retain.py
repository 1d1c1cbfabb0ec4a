"""Which of our snapshots may go. Each side prunes for itself. Pure.

Never what is not ours, what anybody holds, what has not arrived yet, the newest, or a base. The rules count, as for any
version (versions/retention.py): time that passes, or a clock that says so, removes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from secondsite.files.versions.retention import Mark, Rule, kept
from secondsite.files.zfs.model import Dataset, Snapshot
from secondsite.files.zfs.names import ours

UNSENT = 20


def removable(
    dataset: Dataset, rules: Sequence[Rule], *, now: float, bases: Set[int], keep: Set[int] = frozenset()
) -> tuple[Snapshot, ...]:
    """Oldest first. bases: guids of what the other side has in common with this one; without any, nothing may go. keep:
    those that stay besides."""
    common = [each for each in dataset.snapshots if each.guid in bases]
    if not common:
        return ()
    last = common[-1]
    stay = {last.guid} | keep | kept_by(dataset.snapshots, rules, now=now)
    return tuple(
        each
        for each in dataset.snapshots
        if each.txg < last.txg and ours(each.name) and not each.held and each.guid not in stay
    )


def unsent(
    dataset: Dataset, rules: Sequence[Rule], *, now: float, have: Set[int], partial: Set[int]
) -> tuple[Snapshot, ...]:
    """Of what the other side has not got yet: all but the newest few, and what the rules keep. Rounds that fail for
    long leave one each. have, partial: guids that it has, or has begun to receive."""
    common = [each for each in dataset.snapshots if each.guid in have]
    later = [
        each
        for each in dataset.snapshots
        if ours(each.name) and (not common or each.txg > common[-1].txg) and each.guid not in partial
    ]
    stay = kept_by(dataset.snapshots, rules, now=now)
    return tuple(each for each in later[:-UNSENT] if not each.held and each.guid not in stay)


def kept_by(snapshots: Iterable[Snapshot], rules: Sequence[Rule], *, now: float) -> set[int]:
    """The guids of those of ours that the rules keep, and of the newest; nothing where there are no rules.

    By count, so that a clock that is ahead here costs none. Besides, the first in each step as far back as the rule
    reaches by this host's clock: the times are the source's, which may be in an enemy's hands and tell of a new day
    with each round.
    """
    if not rules:
        return set()
    mine = sorted((each for each in snapshots if ours(each.name)), key=lambda each: each.txg)  # the pool's order
    stay = kept(rules, (Mark(number, each.created) for number, each in enumerate(mine)))
    found = {mine[number].guid for number in stay}
    for rule in rules:
        first: dict[int, int] = {}
        for each in mine:
            if 0 <= now - each.created <= rule.every * rule.number:
                first.setdefault(int(each.created // rule.every), each.guid)
        found.update(first.values())
    return found


def stale_bookmarks(dataset: Dataset, *, bases: Set[int]) -> tuple[Snapshot, ...]:
    """Bookmarks of ours that are older than the newest that is a base."""
    common = [each for each in dataset.bookmarks if each.guid in bases]
    if not common:
        return ()
    return tuple(each for each in dataset.bookmarks if ours(each.name) and each.txg < common[-1].txg)
