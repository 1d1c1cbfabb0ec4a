"""Whether everything the primary has acknowledged is at the standby: claimed only while it is true. Pure."""

from __future__ import annotations

from secondsite.database.commit_wait import waits
from secondsite.database.state import Role
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import LastPrimary, SiteState
from secondsite.spec.model import Database


def says_so(primary: SiteState, peer: str) -> bool:
    """By the primary's own word: commits wait for ``peer``, and it has what was acknowledged before they did."""
    return primary.commits is not None and primary.commits.covered and waits(primary.database, peer)


def synchronous(situation: Situation) -> bool:
    """Now. Of a primary that is silent only as long as it cannot have stopped waiting out of our sight."""
    primary, standby = situation.primary, situation.standby
    if primary is None or standby is None or situation.spec.database.mode != "sync" or len(situation.writable) > 1:
        return False
    state = situation.present(primary)
    if state is not None:
        return says_so(state, standby)
    here = situation.present(standby)
    return (
        here is not None
        and was_synchronous(situation)
        and holds(here.last_primary, situation.spec.database, here.taken_at)
    )


def was_synchronous(situation: Situation) -> bool:
    """When the primary was last heard: by what its standby remembers. False while it answers."""
    primary, standby = situation.primary, situation.standby
    if primary is None or standby is None or situation.present(primary) is not None:
        return False
    here = situation.present(standby)
    if here is None or here.database.role is not Role.STANDBY:
        return False
    return at_last_sign(here.last_primary, here.database.timeline, situation.spec.database)


def at_last_sign(last: LastPrimary | None, timeline: int | None, rules: Database) -> bool:
    """Whether the primary was synchronous when it was last heard, in the timeline that the standby is on."""
    return last is not None and last.synchronous and last.timeline == timeline and rules.mode == "sync"


def holds(last: LastPrimary | None, rules: Database, now: float) -> bool:
    """Whether what was so at the last sign still is, at ``now`` of the standby's clock.

    With the policy "block" a primary never stops waiting. With "degrade" it may, once it has missed its standby for
    ``degrade_after``.
    """
    if last is None:
        return False
    since = last.at if last.in_step_at is None else last.in_step_at
    return rules.when_standby_lost == "block" or now - since < rules.degrade_after
