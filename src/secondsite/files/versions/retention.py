"""Which versions are kept, and when the next is due. Pure.

Each rule ("14d daily") keeps the first version of each of the newest 14 days *that have one*. Time that passes removes
nothing: a set that does not change keeps what it has, and a clock that jumps a year ahead costs one version, not all of
them. Versions are in the order in which they were made, by number; their clock only says to which day one belongs. The
first of a day and not the last: it stays the first whatever follows, so what a rule will want later is never removed
before (holding it to that is a property test).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

SLACK_STEPS = 2.0  # a version that is later than this many steps is overdue


class Rule(Protocol):
    """One each ``every`` seconds is kept, of the newest ``number`` that there are (spec/retention.py; not imported,
    because the watcher is to stay small)."""

    @property
    def every(self) -> float: ...

    @property
    def number(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """number: grows with each version of a set. made_at: unix seconds, as the clock of its host said."""

    number: int
    made_at: float


def kept(rules: Sequence[Rule], marks: Iterable[Mark]) -> frozenset[int]:
    """The numbers of those to keep: the newest always, and at most the sum of what the rules name beside it."""
    newest_first = sorted(marks, key=lambda mark: -mark.number)
    keep = {mark.number for mark in newest_first[:1]}
    for rule in rules:
        first_of: dict[int, int] = {}
        for mark in newest_first:
            step = _step(rule, mark.made_at)
            if step in first_of or len(first_of) < rule.number:
                first_of[step] = mark.number
        keep.update(first_of.values())
    return frozenset(keep)


def due(rules: Sequence[Rule], marks: Iterable[Mark], now: float) -> bool:
    """Whether the newest version belongs to another step of the finest rule than ``now`` (unix seconds)."""
    newest = max(marks, key=lambda mark: mark.number, default=None)
    return newest is None or _step(rules[0], newest.made_at) != _step(rules[0], now)


def overdue(rules: Sequence[Rule], looked_at: float | None, now: float) -> bool:
    """Whether nobody has looked for too long if a version is needed. A moment that lies ahead proves nothing."""
    if looked_at is None:
        return True
    return not -SLACK_STEPS * rules[0].every <= now - looked_at <= SLACK_STEPS * rules[0].every


def _step(rule: Rule, at: float) -> int:
    return int(at // rule.every)
