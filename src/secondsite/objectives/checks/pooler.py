"""Checks of PgBouncer: do its clients reach the primary, and could they wait through a move?"""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.database.pooler.include import address_of
from secondsite.database.pooler.state import PoolerState
from secondsite.objectives.finding import Judged, Problem, Registry, Severity
from secondsite.objectives.snapshot import SiteState

registry = Registry(sees=lambda state: state.pooler is not None, named=lambda spec: spec.database.pooler is not None)
ENOUGH_SECONDS = 30.0


def _told(state: SiteState) -> bool:
    return state.pooler is not None and state.pooler.reason is None


def _poolers(judged: Judged) -> Iterator[tuple[SiteState, PoolerState]]:
    for state in judged.situation.here:
        if state.pooler is not None:
            yield state, state.pooler


@registry.check("pooler", Severity.CRITICAL, "Does PgBouncer answer at every site, with nobody made to wait?")
def answers(judged: Judged) -> Iterator[Problem]:
    """Where it does not, its clients are not served now, or will not be after a failover."""
    described = judged.situation.spec.database.pooler
    for state, found in _poolers(judged):
        unit = described.unit if described else "pgbouncer.service"
        if found.reason is not None:
            yield Problem(state.site, found.reason, f"systemctl status {unit}")
        elif not found.included:
            yield Problem(state.site, "PgBouncer's configuration does not include our file", "`secondsite apply`")
        elif found.missing:
            yield Problem(state.site, f"PgBouncer knows no database {', '.join(found.missing)}", "`secondsite apply`")
        elif found.paused:
            message = f"PgBouncer is paused, and its clients wait: {', '.join(found.paused)}"
            yield Problem(state.site, message, "finish what has paused it, then: RESUME in its console")


@registry.check("pooler-target", Severity.CRITICAL, "Does PgBouncer send its clients to the primary?", sees=_told)
def target(judged: Judged) -> Iterator[Problem]:
    """At the primary to its own database, at the standby through the tunnel."""
    situation = judged.situation
    if situation.primary is None:
        return
    for state, found in _poolers(judged):
        wanted = address_of(situation.spec, state.site, situation.primary)
        wrong = found.elsewhere(wanted)
        if wrong:
            message = f"PgBouncer sends the clients of {', '.join(wrong)} elsewhere, not to {wanted}"
            yield Problem(state.site, message, "`secondsite apply`")


@registry.check("pooler-waits", Severity.WARNING, "Would clients of PgBouncer wait through a switchover?", sees=_told)
def waits(judged: Judged) -> Iterator[Problem]:
    """A pause waits for transactions, not for sessions; and a client waits no longer than PgBouncer lets it."""
    for state, found in _poolers(judged):
        if found.in_sessions:
            message = f"PgBouncer pools {', '.join(found.in_sessions)} in sessions, so a switchover is refused"
            yield Problem(state.site, message, "pool_mode = transaction, if the clients bear it")
        if 0 < found.query_wait_seconds < ENOUGH_SECONDS:
            message = f"query_wait_timeout is {found.query_wait_seconds:g} s: clients that wait longer get an error"
            yield Problem(state.site, message, f"set it to {ENOUGH_SECONDS:g} or more in PgBouncer's configuration")
