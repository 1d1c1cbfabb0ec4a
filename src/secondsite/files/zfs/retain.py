"""Which of our snapshots may go. Each side prunes for itself. Pure.

Never what is not ours, what anybody holds, what has not arrived yet, the newest, or a base.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Protocol

from secondsite.files.zfs.model import Dataset, Snapshot
from secondsite.files.zfs.names import ours

UNSENT = 20


class Rule(Protocol):
    """One snapshot each ``every`` seconds is kept for ``span`` seconds (spec/retention.py)."""

    @property
    def every(self) -> float: ...

    @property
    def span(self) -> float: ...


def removable(dataset: Dataset, rules: Iterable[Rule], *, now: float, bases: Set[int]) -> tuple[Snapshot, ...]:
    """Oldest first. bases: guids of what the other side has in common with this one; without any, nothing may go."""
    common = [each for each in dataset.snapshots if each.guid in bases]
    if not common:
        return ()
    last = common[-1]
    kept = {last.guid} | kept_by(dataset.snapshots, rules, now=now)
    return tuple(
        each
        for each in dataset.snapshots
        if each.txg < last.txg and ours(each.name) and not each.held and each.guid not in kept
    )


def unsent(
    dataset: Dataset, rules: Iterable[Rule], *, now: float, have: Set[int], partial: Set[int]
) -> tuple[Snapshot, ...]:
    """Of what the other side has not got yet: all but the newest few, and what the rules keep. Rounds that fail for
    long leave one each. have, partial: guids that it has, or has begun to receive."""
    common = [each for each in dataset.snapshots if each.guid in have]
    later = [
        each
        for each in dataset.snapshots
        if ours(each.name) and (not common or each.txg > common[-1].txg) and each.guid not in partial
    ]
    kept = kept_by(dataset.snapshots, rules, now=now)
    return tuple(each for each in later[:-UNSENT] if not each.held and each.guid not in kept)


def kept_by(snapshots: Iterable[Snapshot], rules: Iterable[Rule], *, now: float) -> set[int]:
    """The first of ours in each step of each rule, as far back as the rule reaches. One from the future (a clock was
    set back) is kept."""
    mine = [each for each in snapshots if ours(each.name)]
    kept = {each.guid for each in mine if each.created > now}
    for rule in rules:
        seen: set[int] = set()
        for each in mine:  # in the pool's order
            step = int(each.created // rule.every)
            if now - each.created <= rule.span and step not in seen:
                seen.add(step)
                kept.add(each.guid)
    return kept


def stale_bookmarks(dataset: Dataset, *, bases: Set[int]) -> tuple[Snapshot, ...]:
    """Bookmarks of ours that are older than the newest that is a base."""
    common = [each for each in dataset.bookmarks if each.guid in bases]
    if not common:
        return ()
    return tuple(each for each in dataset.bookmarks if ours(each.name) and each.txg < common[-1].txg)
