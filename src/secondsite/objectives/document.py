"""A status as the document that ``status --json`` prints. Fields are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from secondsite.clock import to_text
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.state import DatabaseState, Role
from secondsite.files.state import FileSetState, VersionsState
from secondsite.objectives.checks.procedures import newest
from secondsite.objectives.finding import Finding
from secondsite.objectives.lag import Lag, database_state
from secondsite.objectives.root import root_of
from secondsite.objectives.rpo import loss
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import LagSample, Unfinished
from secondsite.objectives.status import Status

BUCKETS, BUCKET_SECONDS = 60, 5


def document(status: Status) -> dict[str, Any]:
    """For programs, and for the human view: everything that was judged."""
    situation, spec = status.situation, status.situation.spec
    return {
        "service": spec.service.name,
        "taken_at": to_text(status.taken_at),
        "generation": situation.generation,
        "primary": situation.primary,
        "standby": situation.standby,
        "sites": {site: _site(situation, site) for site in spec.site_names},
        "replicas": [_replica(situation, lag) for lag in status.lags],
        "rpo": {
            "estimated_seconds": _rounded(status.rpo.seconds),
            "worst": status.rpo.worst,
            "bytes": status.rpo.bytes,
            "files": status.rpo.files,
            "known_seconds": _rounded(status.rpo.known_seconds),
            "objective_seconds": spec.objectives.rpo,
        },
        "rto": {
            "predicted_seconds": _rounded(status.rto.predicted_seconds),
            "basis": status.rto.basis,
            "objective_seconds": spec.objectives.rto,
        },
        "delayed": _delayed(situation),
        "verified": _verified(situation),
        "ready": status.ready,
        "findings": [_finding(finding) for finding in status.findings],
        "checks": _checks(status),
        "last_procedure": _last_procedure(situation),
    }


def _checks(status: Status) -> list[dict[str, Any]]:
    found = frozenset(finding.check for finding in status.findings)
    return [
        {
            "check": check.name,
            "question": check.question,
            "ok": answer.ok,
            "answer": answer.word,
            "why": answer.why,
            "follows_from": root_of(check.name, found) if answer.ok is False else None,
        }
        for check, answer in status.asked
    ]


def _last_procedure(situation: Situation) -> dict[str, Any] | None:
    site, last = newest(situation)
    if last is None:
        return None
    return {
        "procedure": last.procedure, "id": last.id, "site": site, "outcome": last.outcome,
        "ended_at": _moment(last.ended_at), "why": last.why,
    }  # fmt: skip


def _verified(situation: Situation) -> dict[str, Any] | None:
    """When ``verify`` last looked at the standby of now, and how it ended; None where it never did, or is silent."""
    state = situation.present(situation.standby) if situation.standby else None
    if state is None or state.verified is None:
        return None
    failed = [failed.name for failed in state.verified.failed]
    return {"at": _moment(state.verified.at), "site": state.site, "checks": state.verified.checks, "failed": failed}


def _delayed(situation: Situation) -> dict[str, Any] | None:
    """The second standby that replays late; None where the file keeps none."""
    delayed = situation.spec.database.delayed
    if delayed is None:
        return None
    state = situation.present(delayed.site)
    found = state.delayed if state else None
    return {
        "site": delayed.site,
        "cluster": delayed.cluster,
        "delay_seconds": delayed.delay,
        "state": _delayed_state(found, delayed.delay, state.taken_at) if found and state else "unknown",
        "shows": _moment(found.shows) if found else None,
        "shows_seconds_ago": _rounded(state.taken_at - found.shows) if state and found and found.shows else None,
        "waiting_bytes": found.waiting_bytes if found else None,
        "reason": found.reason if found else None,
    }


def _delayed_state(found: DelayedState, delay: float, now: float) -> str:
    if found.reason is not None:
        return "stopped"
    if not found.in_recovery:
        return "promoted"
    if found.paused:
        return "paused"
    if found.receiving:
        return "streaming"
    if found.stuck is not None:
        return "receiver-down"
    return "waiting" if found.waits(delay, now) else "receiver-down"  # it asks for more when that is replayed


def _unfinished(found: Unfinished | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"procedure": found.procedure, "id": found.id, "since": _moment(found.since)}


def _site(situation: Situation, site: str) -> dict[str, Any]:
    state, silence = situation.present(site), situation.silence(site)
    shown: dict[str, Any] = {
        "role": state.database.role if state else Role.UNKNOWN,
        "reachable": state is not None,
        "database": _database(state.database if state else DatabaseState(Role.UNKNOWN)),
        "agent_running": state.agent_running if state else None,
        "active": state.active if state else None,
        "application": state.healthy if state else None,
        "former_primary": situation.former == site,
        "held": state.guard_reason if state else None,
        "unfinished": _unfinished(state.unfinished if state else None),
        "age_seconds": _rounded(situation.ages.get(site)) if state else None,
        "rtt_ms": state.tunnel.rtt_ms if state else None,
        "version": state.version if state else None,
        "operator": situation.spec.sites[site].operator,
        "country": situation.spec.sites[site].country,
    }
    if silence is not None:
        last = silence.last
        shown["silent"] = {"since": _moment(silence.since), "reason": silence.reason, "set_up": silence.set_up}
        shown["last_known"] = last and {
            "taken_at": _moment(last.taken_at),
            "role": last.database.role,
            "database": _database(last.database),
        }
    return shown


def _database(database: DatabaseState) -> dict[str, Any]:
    state = "running" if database.role is Role.PRIMARY else database_state(database)
    return {"state": state, "timeline": database.timeline, "reason": database.reason}


def _replica(situation: Situation, lag: Lag) -> dict[str, Any]:
    return {
        "name": lag.replica,
        "kind": lag.kind,
        "site": lag.site,
        "state": lag.state,
        "lag_seconds": _rounded(lag.seconds),
        "lag_bytes": lag.bytes,
        "lag_files": lag.files,
        "loss_seconds": _rounded(loss(lag)),
        "synchronous": lag.synchronous,
        "newest_at": _moment(lag.newest_at),
        "reason": lag.reason,
        "held_back": lag.held_back,
        **_copy(lag.copy),
        "history": {"step_seconds": BUCKET_SECONDS, "lag_seconds": _history(situation, lag.replica)},
    }


def _copy(copy: FileSetState | None) -> dict[str, Any]:
    """What only a file set has."""
    if copy is None:
        return dict.fromkeys(("kept", "versions", "bandwidth", "files"))
    limit = copy.bandwidth_by and {"bytes_per_second": copy.bandwidth, "set_by": copy.bandwidth_by}
    files = {
        "entries": copy.entries,
        "queue": copy.queue,
        "files_per_second": copy.files_per_second,
        "bytes_per_second": copy.bytes_per_second,
        "compared_at": _moment(copy.last_reconcile_at),
        "unstreamed": copy.unstreamed,
        "deletions": copy.deletions and asdict(copy.deletions),
        "changes": copy.changes and asdict(copy.changes),
        "coming": copy.coming and asdict(copy.coming),
    }
    return {"kept": copy.kept, "versions": _versions(copy.versions), "bandwidth": limit, "files": files}


def _versions(kept: VersionsState | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    return {
        "count": kept.count,
        "newest_at": _moment(kept.newest_at),
        "overdue": kept.overdue,
        "problem": kept.problem,
    }


def _history(situation: Situation, replica: str) -> list[float | None]:
    """The worst lag of each bucket over the last minutes, oldest first; None where nothing was known."""
    states = sorted(situation.here, key=lambda state: state.site != situation.standby)
    for state in states:
        samples = [sample for sample in state.samples if sample.replica == replica]
        if samples:
            return _buckets(samples, until=state.taken_at)
    return []


def _buckets(samples: Sequence[LagSample], *, until: float) -> list[float | None]:
    worst: list[float | None] = [None] * BUCKETS
    for sample in samples:
        place = BUCKETS - 1 - int(max(0.0, until - sample.at) // BUCKET_SECONDS)
        if place >= 0 and sample.seconds is not None:
            worst[place] = round(max(worst[place] or 0.0, sample.seconds), 3)
    return worst


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "severity": finding.severity,
        "site": finding.site,
        "message": finding.message,
        "hint": finding.hint,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _moment(at: float | None) -> str | None:
    return None if at is None else to_text(datetime.fromtimestamp(at, UTC))
