"""What follows from looks that two sites took in turn: primary, standby, primary, standby. Pure.

The looks are so ordered that each sees every transaction that the look before it saw (``order`` sees to that). What is
looked at are row versions: content together with the transaction that wrote it. A version has one life: once
committed, until its end is. So a version that is seen in two looks of a growing order was there in every look between
them. Let P1 = P3 at the primary and S2 = S4 at the standby:

- a version of P1 = P3 was there in between, so a correct standby saw it in S2;
- a version of S2 = S4 was there in between, so the primary saw it in P3.

Then S2 = P3. Where they differ all the same, the copy is wrong: no moment, no writer and no order of commits explains
it. A single pair of looks would not do: a row that is inserted and deleted between them raises a false alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from secondsite.database.verify.model import Key, Outcome

Seen = Mapping[Key, str]  # key to version


def judged(looks: Sequence[object]) -> Outcome:
    """Of one thing, looked at in turn, the primary first; as many looks as there are so far.

    Two looks that follow one another and are equal show the same at both sites. Four with P1 = P3 and S2 = S4 that
    are not equal prove a difference. Everything else is busy: something changed meanwhile.
    """
    if any(one == next_one for one, next_one in pairwise(looks)):
        return Outcome.EQUAL
    if len(looks) >= 4 and looks[0] == looks[2] and looks[1] == looks[3]:
        return Outcome.DIFFERENT
    return Outcome.BUSY


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a range, judged one by one. missing, extra, changed: at the standby."""

    missing: tuple[Key, ...] = ()
    extra: tuple[Key, ...] = ()
    changed: tuple[Key, ...] = ()
    busy: tuple[Key, ...] = ()

    @property
    def different(self) -> tuple[Key, ...]:
        """Every key whose row is not what it should be."""
        return (*self.missing, *self.extra, *self.changed)

    @property
    def outcome(self) -> Outcome:
        """A single row that differs counts for the range."""
        if self.different:
            return Outcome.DIFFERENT
        return Outcome.BUSY if self.busy else Outcome.EQUAL


def rows(looks: Sequence[Seen]) -> Rows:
    """Judge each key of four looks. A row that is not there is a state like any other."""
    missing: list[Key] = []
    extra: list[Key] = []
    changed: list[Key] = []
    busy: list[Key] = []
    for key in sorted({key for look in looks for key in look}):
        states = [look.get(key) for look in looks]
        outcome = judged(states)
        if outcome is Outcome.BUSY:
            busy.append(key)
        elif outcome is Outcome.DIFFERENT:
            place = extra if states[0] is None else missing if states[1] is None else changed
            place.append(key)
    return Rows(tuple(missing), tuple(extra), tuple(changed), tuple(busy))


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several parts: a difference counts most; equal only where at least one part was and none is worse."""
    for outcome in (Outcome.DIFFERENT, Outcome.UNKNOWN, Outcome.BUSY, Outcome.EQUAL):
        if outcome in outcomes:
            return outcome
    return Outcome.UNKNOWN
