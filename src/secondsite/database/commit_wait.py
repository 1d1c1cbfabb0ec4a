"""Whether commits shall wait for the standby: a pure decision, taken each second by the primary's agent.

A commit that waits is acknowledged once the standby has it on its disk (manual 27.2.8): nothing acknowledged can be
lost with the primary alone. The price is that a lost standby holds every commit up, until it is back or given up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from secondsite.database.state import DatabaseState, Follower

NAMES = "synchronous_standby_names"
STEADY_SECONDS = 2.0  # so long a standby must have answered before it is waited for: one that flaps would hang commits
ANSWERS_SECONDS = 3.0  # a standby reports each second (``settings``); silent for longer, it does not answer
DURABLE = ("on", "remote_apply")  # with another synchronous_commit, "acknowledged" does not mean "on the other disk"
LESSER = "lesser_commits"  # in the state's settings: roles and databases that have it set lower for themselves
TOGETHER = ("sync", "quorum")


class Act(StrEnum):
    """What is to be done to the primary's setting."""

    NOTHING = "nothing"
    WAIT = "wait"  # for the peer
    STOP = "stop"  # the standby is lost: wait for nobody
    REMOVE = "remove"  # mode async: take back what an earlier mode has left


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the decision is taken from. Times are seconds of a clock that never jumps.

    primary: this cluster accepts writes, and nobody has fenced it. names: the setting's value now; None where it is not
    known. answered: for how long the standby has streamed and
    answered without a break; 0 where it does not. missing: since how long it has not been seen to.
    """

    site: str
    peer: str
    mode: str
    policy: str
    degrade_after: float
    primary: bool
    names: str | None
    answered: float
    missing: float


def names(peer: str) -> str:
    """The setting's value that makes commits wait for ``peer``."""
    return f'FIRST 1 ("{peer}")'


def ours(value: str, sites: Iterable[str]) -> bool:
    """Whether secondsite has written this value; an operator's own is left alone in mode async."""
    return value in {names(site) for site in sites}


def decide(now: Waiting) -> Act:
    """What is to be done; nothing where this host is not the primary, or nothing is known."""
    if not now.primary or now.names is None:
        return Act.NOTHING
    if now.mode != "sync":
        return Act.REMOVE if ours(now.names, (now.site, now.peer)) else Act.NOTHING
    if now.answered > 0:
        due = now.names != names(now.peer) and now.answered >= STEADY_SECONDS
        return Act.WAIT if due else Act.NOTHING
    if now.names and now.policy == "degrade" and now.missing >= now.degrade_after:
        return Act.STOP
    return Act.NOTHING


def follower(database: DatabaseState, peer: str) -> Follower | None:
    """The peer's walsender, the one that matters where an old connection lingers beside a new one."""
    mine = [one for one in database.followers if one.name == peer]
    return max(mine, key=lambda one: (one.state == "streaming", one.replied_at or 0.0), default=None)


def waits(database: DatabaseState, peer: str) -> bool:
    """Whether PostgreSQL says that commits wait for ``peer``, and that it can keep up with them."""
    settings, standby = dict(database.settings), follower(database, peer)
    return (
        database.writable
        and settings.get(NAMES) == names(peer)
        and settings.get("synchronous_commit") in DURABLE
        and not settings.get(LESSER)
        and standby is not None
        and standby.sync_state in TOGETHER
    )
