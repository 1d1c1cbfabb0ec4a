"""Checks of the delayed standby: would the last hour be there after somebody's mistake?"""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.database.cluster import Cluster
from secondsite.database.delayed.place import SLOT
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.spec import Delayed, Spec

LATE_SECONDS = 300.0  # beyond the delay: it is not held back, it does not keep up


def _kept(spec: Spec) -> bool:
    return spec.database.delayed is not None


registry = Registry(named=_kept)


@registry.check("delayed-standby", Severity.WARNING, "Does the delayed standby follow, as late as the file says?",
    Needs.NOBODY)  # fmt: skip
def follows(judged: Judged) -> Iterator[Problem]:
    """A copy that has stopped is too old after a while; one that has caught up holds every mistake."""
    delayed = judged.situation.spec.database.delayed
    state = judged.situation.present(delayed.site) if delayed else None
    found = state.delayed if state else None
    if delayed is None:
        return
    if state is None or found is None:
        why = "does not answer" if state is None else "has not looked at it yet"
        yield Problem(delayed.site, f"nothing is known of the delayed standby: {delayed.site} {why}", unseen=True)
    elif found.reason is not None:
        yield Problem(state.site, f"the delayed standby does not answer: {found.reason}", "`secondsite apply`")
    elif not found.in_recovery:
        hint = "take out of it what is needed, stop it, move its data folder aside, then `secondsite apply`"
        yield Problem(state.site, "the delayed standby was promoted, and follows nobody", hint)
    elif found.paused:
        hint = (
            f"after pg_wal_replay_pause(): SELECT pg_wal_replay_resume() in {delayed.cluster}; after a rescue file, or"
            f" where its settings are too low: systemctl stop {_unit(delayed)}, then `secondsite apply`"
        )
        yield Problem(state.site, "the replay of the delayed standby is paused", hint)
    elif found.stuck is not None:
        message = f"the delayed standby can receive nothing any more: {found.stuck}"
        yield Problem(state.site, message, "`secondsite apply` copies it again, and moves what it has aside")
    elif not found.receiving and not found.waits(
        delayed.delay, state.taken_at
    ):  # while it holds WAL back, it asks for no more
        yield Problem(state.site, "the delayed standby receives nothing", "`secondsite apply`")
    elif (
        found.shows is not None and found.waiting_bytes and state.taken_at - found.shows > delayed.delay + LATE_SECONDS
    ):
        late = state.taken_at - found.shows - delayed.delay
        hint = "its host may be too slow for the load; see its log"
        yield Problem(state.site, f"the delayed standby is {late:.0f} s later than it should be", hint)


@registry.check(
    "delayed-slot", Severity.WARNING, "Is the WAL that the delayed standby needs kept, and for nobody else?"
)
def slot(judged: Judged) -> Iterator[Problem]:
    """Its slot is at the cluster beside it, whatever role that has; one that nobody reads keeps WAL for nobody."""
    delayed = judged.situation.spec.database.delayed
    for state in judged.situation.here:
        for one in (slot for slot in state.database.slots if slot.name == SLOT):
            if delayed is None or delayed.site != state.site:
                message = f"the slot {SLOT} keeps WAL at {state.site}, and no delayed standby is kept there"
                hint = f"SELECT pg_drop_replication_slot('{SLOT}') in {judged.situation.spec.database.cluster}"
                yield Problem(state.site, message, hint)
            elif one.wal_status == "lost":
                message = "the slot of the delayed standby was given up: the WAL that it needs is gone"
                yield Problem(state.site, message, "`secondsite apply` copies it again, and moves what it has aside")


def _unit(delayed: Delayed) -> str:
    return Cluster.parse(delayed.cluster).unit
