"""Where two clusters that were one have parted, from the histories of their timelines."""

from __future__ import annotations

from dataclasses import dataclass

# Each earlier timeline of a cluster and the position where it was left (manual 27.3.4).
Forks = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was written on a timeline from ``since`` on; until: where it was left; None: to its end."""

    timeline: int
    since: int
    until: int | None = None


def only_of(mine: Forks, timeline: int, theirs: Forks, their_timeline: int) -> tuple[Stretch, ...]:
    """Pure: what the cluster on ``timeline`` wrote and the other one did not, in order; nothing where that cannot be
    told: they share no timeline, or both are on the same one.

    A timeline of the same number is the same one only where it began at the same place: two promotions that do not know
    of each other give the same number.
    """
    own: list[tuple[int, int | None]] = [*mine, (timeline, None)]
    begin = 0
    for place, ((number, left), (other, their_end)) in enumerate(
        zip(own, [*theirs, (their_timeline, None)], strict=False)
    ):
        if number != other:
            return _from(own[place:], begin) if place else ()
        if left != their_end:
            since = min(end for end in (left, their_end) if end is not None)
            return _from(own[place:], since) if left != since else _from(own[place + 1 :], since)
        begin = left or 0
    return ()


def _from(timelines: list[tuple[int, int | None]], since: int) -> tuple[Stretch, ...]:
    begins = [since, *(end or 0 for _, end in timelines)]
    return tuple(Stretch(number, begin, end) for (number, end), begin in zip(timelines, begins, strict=False))
