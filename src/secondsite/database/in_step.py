"""How a primary's standby keeps in step, from one look to the next: since when it answers, or is missing. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from secondsite.database.commit_wait import ANSWERS_SECONDS, follower, waits
from secondsite.database.state import DatabaseState, Role


@dataclass(frozen=True, slots=True)
class InStep:
    """The memory between two looks; seconds of a clock that never jumps.

    seen: when the standby was last seen to stream and to answer, or when the looking began. since: when the present
    stretch of answers began; None where there is none. told: its last answer, by its own clock: only that it changes
    counts. goal: the primary's position when commits began to wait; None where they do not. covered: the standby has
    come that far, so that whatever was acknowledged before is there, too.
    """

    seen: float
    since: float | None = None
    told: float | None = None
    goal: int | None = None
    covered: bool = False

    def answered(self, now: float) -> float:
        """For how long the standby has answered without a break."""
        return max(0.0, now - self.since) if self.since is not None else 0.0

    def missing(self, now: float) -> float:
        """Since how long it has not been seen to."""
        return max(0.0, now - self.seen)


def after(before: InStep, database: DatabaseState, peer: str, now: float) -> InStep:
    """The memory after a look at ``now``. A cluster that is not the primary has no standby to wait for."""
    if database.role is not Role.PRIMARY:
        return InStep(now)
    standby = follower(database, peer)
    told = standby.replied_at if standby is not None else None
    streams = standby is not None and standby.state == "streaming"
    heard = streams and before.told is not None and told is not None and told != before.told
    seen = now if heard else before.seen
    since = before.since if before.since is not None else (now if heard else None)
    if not streams or now - seen > ANSWERS_SECONDS:
        since = None
    return replace(_goal(before, database, peer), seen=seen, since=since, told=told)


def _goal(before: InStep, database: DatabaseState, peer: str) -> InStep:
    standby = follower(database, peer)
    if standby is None or not waits(database, peer):
        return replace(before, goal=None, covered=False)
    if before.goal is None:
        return replace(before, goal=database.flushed, covered=False)
    return replace(before, covered=before.covered or (standby.flushed or 0) >= before.goal)
