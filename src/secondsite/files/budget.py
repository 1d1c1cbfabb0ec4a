"""How much of a copy may be deleted or rewritten before a person has to look: at once, and within an hour. Pure.

Slow deletions cost as much as quick ones, so both count over a sliding hour. Whoever encrypts files rewrites or renames
many at once: ``alarm`` looks for that too. What came within the hour makes no budget larger: it may have come for that.
Nor does it count when it goes, unless the set ``shrinks`` by it; a pull looks for that only where it would stop
(rsync/passing.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Counted:
    """What a pass that deletes nothing has found.

    source: files and folders at the source, its root included. created: of these, new here. extra: what is here and
    not at the source.
    """

    source: int
    created: int
    extra: int

    @property
    def before(self) -> int:
        """Files and folders here before the pass, root included."""
        return max(0, self.source - self.created) + self.extra


def limit(before: int, share: float) -> int:
    """The most one pull may delete of ``before`` entries: their share, but one at least where anything may go."""
    return max(1, math.ceil(before * share)) if share > 0 else 0


def refusal(
    counted: Counted, *, most: int, lately: int = 0, waits: bool = False, agreed: int | None = None
) -> str | None:
    """Why the extra entries must not be deleted when ``most`` may be; None where they may be. lately: how many went
    within the hour. waits: there were too many once, and nobody has agreed since. agreed: to so many somebody has."""
    if counted.extra == 0:
        return None
    if counted.source <= 1:
        return f"the source is empty, and the copy holds {counted.extra} files and folders"
    gone = f"{counted.extra} of {counted.before} files and folders are gone at the source"
    if counted.extra <= most and not waits:
        return None
    if agreed is not None and counted.extra > agreed:
        return f"{gone}; {agreed} were allowed to go, and since then more have gone"
    if counted.extra <= most:
        return f"{gone}; there were more than the deletion budget, and nobody has said that they may go"
    left = f", after {lately} that went within an hour" if lately else ""
    return f"{gone}; the deletion budget is {most}{left}"


WINDOW_MINUTES = 60
LEAST_CHANGES = 100  # a small release, or a few files that are rewritten together, are no alarm
LEAST_DELETIONS = 10  # of a small set a few may go one after the other, as they may from pull to pull


class Alarm(StrEnum):
    """Why the stream stopped for a person."""

    DELETIONS = "deletions"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Stopped:
    """held_back: deletions, or changes, that wait for a person."""

    alarm: Alarm
    reason: str
    held_back: int


Minute = tuple[int, int, int, int]  # since 1970; deleted; rewritten; entries before it, 0 where nobody knows


def counted(
    window: Sequence[Minute], now: float, *, deleted: int, rewritten: int, before: int = 0, after: int = 0
) -> tuple[Minute, ...]:
    """The window with what happened ``now`` (unix seconds) added, and without what has left it. before, after: entries.
    A clock that was set back leaves minutes that are still to come: they count on, for an hour at most."""
    minute = int(now // 60)
    kept = {at: rest for at, *rest in window if abs(minute - at) < WINDOW_MINUTES}
    gone, new, first = kept.get(minute, (0, 0, 0))
    if deleted or rewritten or before != after or minute in kept:
        kept[minute] = [gone + deleted, new + rewritten, first or before]
    return tuple((at, gone, new, first) for at, (gone, new, first) in sorted(kept.items()))


@dataclass(frozen=True, slots=True)
class Hour:
    """What happened within it. entries: that are here and were here before it. before: as many as there were then."""

    deleted: int
    rewritten: int
    entries: int

    @property
    def before(self) -> int:
        return self.entries + self.deleted


def last_hour(window: Sequence[Minute], now: float, *, entries: int) -> Hour:
    """entries: files and folders that are here now, root included."""
    kept = counted(window, now, deleted=0, rewritten=0)
    deleted, rewritten = sum(gone for _, gone, _, _ in kept), sum(new for _, _, new, _ in kept)
    before = next((first for _, _, _, first in kept if first), entries + deleted)
    return Hour(deleted, rewritten, max(0, min(entries, before - deleted)))


def allowed_deletions(hour: Hour, max_delete: float) -> int:
    """How many of the entries that are here may be deleted at once, and within this hour."""
    return max(0, min(limit(hour.entries, max_delete), _most_deletions(hour, max_delete) - hour.deleted))


@dataclass(frozen=True, slots=True)
class Rule:
    """How much of a safety rule is used up: files and folders within the last hour, and as many as there may be."""

    within_hour: int
    allowed: int


def used(
    window: Sequence[Minute], now: float, *, entries: int, max_delete: float, max_change: float
) -> tuple[Rule | None, Rule | None]:
    """Of deletions, and of changes of any kind; None where the file sets no such rule."""
    hour = last_hour(window, now, entries=entries)
    return (
        None if max_delete >= 1 else Rule(hour.deleted, _most_deletions(hour, max_delete)),
        None if max_change >= 1 else Rule(hour.deleted + hour.rewritten, _most_changes(hour.before, max_change)),
    )


def shrinks(before: int, after: int, max_delete: float) -> bool:
    """Whether so much goes at once that it counts, whenever it came: the set gets smaller by more than its budget."""
    return max_delete < 1 and before - after > max(limit(before, max_delete), LEAST_DELETIONS if max_delete > 0 else 0)


def _most_deletions(hour: Hour, max_delete: float) -> int:
    return max(limit(hour.before, max_delete), LEAST_DELETIONS if max_delete > 0 else 0)


def allowed_changes(window: Sequence[Minute], now: float, *, entries: int, max_change: float) -> int | None:
    """How many files a pull may still rewrite within this hour; None where there is no limit. It cannot know in advance
    how many that are: it counts while it goes, and stops."""
    if max_change >= 1:
        return None
    hour = last_hour(window, now, entries=entries)
    return max(0, _most_changes(hour.entries, max_change) - hour.deleted - hour.rewritten)


def many_changes(entries: int, max_change: float) -> str:
    """The reason, for a person, of a pull that stopped while it counted."""
    most = _most_changes(entries, max_change)
    return (
        f"more than {most} of {entries} files and folders were rewritten or renamed at the source within an hour, as "
        f"whoever encrypts them does; allowed are {most}; so many, and a few that were "
        f"on their way, have been made here, too"
    )


def _here_too(changes: int) -> str:
    return f"; {changes} of these changes have been made here, too" if changes else ""


def _most_changes(entries: int, max_change: float) -> int:
    return max(LEAST_CHANGES, limit(entries, max_change))


def alarm(
    window: Sequence[Minute],
    now: float,
    *,
    entries: int,
    deleted: int,
    rewritten: int,
    max_delete: float,
    max_change: float,
) -> Stopped | None:
    """Why a batch must not be applied that deletes and rewrites so many of ``entries``; None where it may be.

    entries: files and folders here, root included.
    """
    hour = last_hour(window, now, entries=entries)
    all_deleted, all_rewritten, before = hour.deleted + deleted, hour.rewritten + rewritten, hour.before
    at_once = limit(hour.entries, max_delete)
    if max_delete < 1 and deleted > at_once:
        gone_now = f"{deleted} of {max(hour.entries, entries)} files and folders were deleted at the source at once"
        return Stopped(Alarm.DELETIONS, f"{gone_now}; the deletion budget is {at_once}", deleted)
    most = _most_deletions(hour, max_delete)
    if max_delete < 1 and deleted and all_deleted > most:
        gone_now = (
            f"{all_deleted} of {max(before, entries)} files and folders were deleted at the source within an hour"
        )
        return Stopped(Alarm.DELETIONS, f"{gone_now}; the deletion budget is {most}", deleted)
    changed, changes = all_deleted + all_rewritten, deleted + rewritten
    least = _most_changes(before, max_change)
    if changes and max_change < 1 and changed > least:
        told = f"{changed} of {max(before, entries)} files and folders were rewritten, renamed or deleted at the source"
        why = f"{told} within an hour, as whoever encrypts them does; allowed are {least}{_here_too(changed - changes)}"
        return Stopped(Alarm.CHANGES, why, changes)
    return None
