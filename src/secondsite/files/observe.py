"""A file set's state from its record. Pure."""

from __future__ import annotations

from typing import Any

from secondsite.files.bandwidth import Limit
from secondsite.files.budget import used
from secondsite.files.state import SOURCE_UNREADABLE, Coming, FileSetState, FilesStatus, VersionsState
from secondsite.files.store import SOURCE, Record
from secondsite.files.stream.heard import FRESH_SECONDS, Heard, reached
from secondsite.spec import FileSet


def state_of(
    fileset: FileSet,
    record: Record,
    *,
    now: float,
    standby: bool,
    pulling: bool = False,
    problem: str | None = None,
    heard: Heard | None = None,
    unstreamed: str | None = None,
    versions: VersionsState | None = None,
    limit: Limit | None = None,
    coming: Coming | None = None,
) -> FileSetState:
    """The set at ``now`` (unix seconds). A record that says nothing is unknown, never current.

    problem: what ended the last pull before the record could tell. heard: the source's last word of its changes.
    unstreamed: why they are not followed. versions: as ``versions.state`` shows them.
    limit: of what comes. coming: how far a pull is that runs.
    """
    fresh = heard if heard is not None and abs(now - heard.at) <= FRESH_SECONDS else None
    status, reason = _status(fileset, record, now=now, standby=standby, pulling=pulling, heard=fresh)
    if status is FilesStatus.STALE:
        ages = [age for age in (_age(record, now), _heard_age(heard, now)) if age is not None]
        reason = _stale(min(ages, default=None))
    if problem is not None and status not in (FilesStatus.SOURCE, FilesStatus.CURRENT, FilesStatus.BLOCKED):
        status, reason = FilesStatus.FAILED, problem
    if fresh is None and unstreamed is not None and status is FilesStatus.CURRENT:
        reason = reason or f"pulled each {fileset.interval:g} s: {unstreamed}"
    # What a site pulled before it became the original says nothing: its age only grows, and when the site is the
    # standby again it would be shown as its lag.
    original = record.role == SOURCE
    pulls = limit if standby and not original else None
    return FileSetState(
        name=fileset.name,
        status=status,
        complete_at=None if original else reached(record, heard),
        last_attempt_at=record.last_attempt_at,
        reason=reason,
        held_back=record.held_back if status is FilesStatus.BLOCKED else None,
        versions=None if status is FilesStatus.SOURCE else versions,
        bandwidth=pulls.bytes_per_second if pulls else None,
        bandwidth_by=pulls.by if pulls else None,
        coming=coming,
        **_following(fileset, record, heard, fresh, unstreamed, now=now, standby=standby and not original),
    )


def _following(
    fileset: FileSet,
    record: Record,
    heard: Heard | None,
    fresh: Heard | None,
    unstreamed: str | None,
    *,
    now: float,
    standby: bool,
) -> dict[str, Any]:
    """What only a standby knows. What was told last stays known to be missing; that nothing was missing does not."""
    if not standby:
        return {}
    deletions, changes = None, None
    if record.entries is not None and record.settled:
        deletions, changes = used(
            record.window, now, entries=record.entries, max_delete=fileset.max_delete, max_change=fileset.max_change
        )
    pending = heard.pending if heard is not None and (fresh or heard.pending) else None
    return {
        "kept": "stream" if fresh else "pull",
        "unstreamed": None if fresh else unstreamed,
        "queue": fresh.pending if fresh else None,
        "pending_files": pending,
        "pending_bytes": 0 if pending == 0 else None,
        "last_reconcile_at": record.last_reconcile_at,
        "files_per_second": fresh.files if fresh else None,
        "bytes_per_second": fresh.bytes if fresh else None,
        "entries": record.entries,
        "deletions": deletions if record.engine != "zfs" else None,  # what is deleted is in the snapshots
        "changes": changes,
    }


def _status(
    fileset: FileSet, record: Record, *, now: float, standby: bool, pulling: bool, heard: Heard | None
) -> tuple[FilesStatus, str | None]:
    if not standby:
        return FilesStatus.SOURCE, None
    if record.role == SOURCE:
        return FilesStatus.BLOCKED, "it was the original here; apply --replace-standby makes it the copy again"
    if record.outcome == "blocked":
        return FilesStatus.BLOCKED, record.reason
    if heard is not None:
        if heard.behind <= 2 * max(fileset.interval, 1.0):
            return FilesStatus.CURRENT, record.reason
        if heard.unread is not None:
            return FilesStatus.FAILED, f"{SOURCE_UNREADABLE}: {heard.unread}"
        return FilesStatus.PULLING, f"{heard.pending} changed paths wait at the source"
    age = _age(record, now)
    if age is not None and -FRESH_SECONDS <= age <= 2 * max(fileset.interval, 2 * record.seconds):
        return FilesStatus.CURRENT, record.reason
    if pulling:
        return FilesStatus.PULLING, record.reason
    if record.outcome == "failed":
        return FilesStatus.FAILED, record.reason
    if record.complete_at is not None:
        return FilesStatus.STALE, None
    return FilesStatus.UNKNOWN, "never pulled"


def _age(record: Record, now: float) -> float | None:
    """Seconds since the copy was known to be complete, by this host's clock: the source's may be ahead, and then the
    silence of a dead line would look like news. None where it is unknown; below zero where this clock was set back."""
    if record.complete_at is None:
        return None
    if record.confirmed_at is not None:
        return now - record.confirmed_at
    if record.outcome != "complete" or record.last_attempt_at is None:
        return None
    return now - record.last_attempt_at  # the record is by an older version


def _heard_age(heard: Heard | None, now: float) -> float | None:
    """The same, by the last word that was heard while the source's changes were followed."""
    return now - heard.at + heard.behind if heard is not None and heard.as_of else None


def _stale(age: float | None) -> str:
    if age is None:
        return "nothing has said for long that it is complete"
    if age < 0:
        return f"it was known to be complete {-age:.0f} s ahead of this host's clock, which was set back"
    return f"it was last known to be complete {age:.0f} s ago"
