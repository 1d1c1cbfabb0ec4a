"""Checks of the database: does the standby follow the same cluster, and could it be promoted?"""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.objectives.checks.sites import back
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.snapshot import SiteState
from secondsite.spec import Spec

registry = Registry()
# A standby with less than its primary pauses replay, and promoting it then kills it (PostgreSQL manual 27.4.3).
_AT_LEAST = ("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
             "max_locks_per_transaction")  # fmt: skip


def _pair(judged: Judged) -> tuple[DatabaseState | None, DatabaseState | None]:
    """The primary's and the standby's cluster, where their sites answer."""
    situation = judged.situation
    primary = situation.present(situation.primary) if situation.primary else None
    standby = situation.present(situation.standby) if situation.standby else None
    return (primary.database if primary else None), (standby.database if standby else None)


def _in_recovery(state: SiteState) -> bool:
    return state.database.role is Role.STANDBY


def _told_settings(state: SiteState) -> bool:
    return bool(state.database.settings)


def _shut_out(judged: Judged) -> bool:
    """Was the standby the primary before, and shut out by a failover? A plain apply leaves such a host alone."""
    situation = judged.situation
    primary = situation.present(situation.primary) if situation.primary else None
    standby = situation.present(situation.standby) if situation.standby else None
    return bool((primary and primary.quarantining_peer) or (standby and standby.guard_reason))


@registry.check(
    "streaming",
    Severity.CRITICAL,
    "Does the standby receive what the primary writes?",
    Needs.STANDBY,
    sees=_in_recovery,
)
def streaming(judged: Judged) -> Iterator[Problem]:
    """A standby that receives nothing falls behind with every second."""
    _, standby = _pair(judged)
    site = judged.situation.standby
    if standby is None or standby.role is Role.PRIMARY:
        return
    if standby.role is not Role.STANDBY:
        because = f": {standby.reason}" if standby.reason else ""
        hint = back(site or "SITE") if _shut_out(judged) else "`secondsite plan`, then `secondsite apply`"
        unseen = standby.role is Role.UNKNOWN
        yield Problem(site, f"the standby's database is {standby.role}{because}", hint, unseen=unseen)
    elif standby.streaming is Streaming.RECEIVER_DOWN:
        hint = "is the tunnel up, the slot there, the primary reachable? see PostgreSQL's log at the standby"
        yield Problem(site, "the standby receives nothing: its WAL receiver is down", hint)
    elif standby.streaming is Streaming.CATCHING_UP:
        yield Problem(site, "the standby is catching up", "wait, and watch `secondsite status`", Severity.WARNING)


def resume_replay(spec: Spec) -> str:
    """The command that has a standby replay again, as it is typed there."""
    return f"`runuser -u postgres -- psql -p {spec.database.port} -c 'SELECT pg_wal_replay_resume()'`"


@registry.check(
    "replay-paused", Severity.CRITICAL, "Does the standby replay what it receives?", Needs.STANDBY, sees=_in_recovery
)
def replay_paused(judged: Judged) -> Iterator[Problem]:
    """What is received but not replayed must be replayed before a promotion ends: it costs recovery time."""
    _, standby = _pair(judged)
    if standby is not None and standby.replay_paused:
        hint = f"find out who paused it and why, then {resume_replay(judged.situation.spec)}"
        yield Problem(judged.situation.standby, "replay is paused", hint)


@registry.check("same-cluster", Severity.CRITICAL, "Are both databases the same cluster?",
    sees=lambda s: s.database.system_identifier is not None)  # fmt: skip
def same_cluster(judged: Judged) -> Iterator[Problem]:
    """The system identifier is given at initdb and never changes: another one is another database."""
    primary, standby = _pair(judged)
    if primary is None or standby is None or None in (primary.system_identifier, standby.system_identifier):
        return
    if primary.system_identifier != standby.system_identifier:
        yield Problem(
            judged.situation.standby, "the standby is a copy of another database", "`secondsite apply` seeds it"
        )


@registry.check("timeline", Severity.CRITICAL, "Are both databases on the same timeline?",
    sees=lambda s: s.database.timeline is not None)  # fmt: skip
def timeline(judged: Judged) -> Iterator[Problem]:
    """A standby on another timeline has another history and cannot follow."""
    primary, standby = _pair(judged)
    if primary is None or standby is None or primary.timeline is None or standby.timeline is None:
        return
    if primary.timeline != standby.timeline and not (standby.role is primary.role is Role.PRIMARY):
        message = f"the standby is on timeline {standby.timeline}, the primary on {primary.timeline}"
        yield Problem(judged.situation.standby, message, back(judged.situation.standby or "SITE"))


@registry.check(
    "standby-settings", Severity.CRITICAL, "Does the standby allow as much as the primary?", sees=_told_settings
)
def standby_settings(judged: Judged) -> Iterator[Problem]:
    """With less than the primary, replay pauses and a promotion stops the database."""
    primary, standby = _pair(judged)
    if primary is None or standby is None:
        return
    ours, theirs = dict(standby.settings), dict(primary.settings)
    for name in _AT_LEAST:
        if name in ours and name in theirs and int(ours[name]) < int(theirs[name]):
            message = f"{name} is {ours[name]} at the standby and {theirs[name]} at the primary"
            yield Problem(judged.situation.standby, message, "`secondsite apply`, then restart the standby's database")


@registry.check(
    "rewindable",
    Severity.WARNING,
    "Could an old primary be taken back without copying everything?",
    sees=_told_settings,
)
def rewindable(judged: Judged) -> Iterator[Problem]:
    """pg_rewind needs wal_log_hints or data checksums, and full_page_writes, before the disaster. Without them the way
    back is a new copy of the whole database, which works as well and takes longer."""
    situation = judged.situation
    for state in situation.here:
        settings = dict(state.database.settings)
        if not settings:
            continue
        if "on" not in (settings.get("wal_log_hints"), settings.get("data_checksums")):
            yield Problem(
                state.site,
                "neither wal_log_hints nor data checksums are on: it would be copied anew",
                "`secondsite apply`",
            )
        if settings.get("full_page_writes", "on") != "on":
            yield Problem(
                state.site, "full_page_writes is off: pg_rewind would refuse, and a crash may damage data", "turn it on"
            )
