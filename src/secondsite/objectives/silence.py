"""The loss if a primary that is silent has died: one reckoning, for ``status`` and for the failover. Pure.

What lies between the newest moment of a replica and the primary's last sign of life is missing. So may be what it took
afterwards: it is asked once a second, and may have worked on until the first question that it did not answer.
"""

from __future__ import annotations

from secondsite.objectives.snapshot import LastPrimary

CLOCK_ERROR = 2.0  # a moment this far ahead of its own clock says that the clock, not the lag, is known
WATCHED_SECONDS = 5.0  # a heartbeat that is newer by more than this says that nobody was watching
BEAT_SECONDS = 1.0  # between two questions to the primary, and between two heartbeats


def died_in_silence(behind: float, unheard: float) -> float:
    """The most that a replica lacks if the primary died between its last sign of life and the one that did not come.

    behind: seconds from the newest moment that is here to now: the most it lacks if the primary works on. unheard:
    seconds since the last sign of life; 0 while it answers, and then both are the same.
    """
    return max(0.0, behind - max(0.0, unheard - BEAT_SECONDS))


def heard_at(last: LastPrimary | None, told_at: float | None, now: float, *, beat_here: float | None) -> float | None:
    """The primary's last sign of life by this host's clock (unix seconds); None where nobody watched it to the end.

    last: what the agent remembers; it may be old where no agent has run here. told_at: what the stream last brought.
    beat_here: the newest heartbeat that has arrived in the tables. Both by the primary's clock. Where that one is
    newer than every sign, nobody was there when the primary fell silent: it lived on for nobody knows how long.
    """
    offset = last.clock_offset if last else None
    signs = [by_our_clock(told_at, offset, now)]
    if last is not None:
        signs += [by_our_clock(last.at, None, now), by_our_clock(last.heartbeat_at, offset, now)]
    sign = max((min(sign, now) for sign in signs if sign is not None), default=None)
    beat = by_our_clock(beat_here, offset, now)
    return None if sign is not None and beat is not None and beat - sign > WATCHED_SECONDS else sign


def by_our_clock(moment: float | None, offset: float | None, now: float) -> float | None:
    """A moment of a clock that is ``offset`` ahead of ours; None where it lies ahead of the present all the same."""
    if moment is None or moment - (offset or 0.0) - now > CLOCK_ERROR:
        return None
    return moment - (offset or 0.0)
