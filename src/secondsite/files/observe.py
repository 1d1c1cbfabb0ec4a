"""A file set's state from its record. Pure."""

from __future__ import annotations

from secondsite.files.state import FileSetState, FilesStatus, VersionsState
from secondsite.files.store import SOURCE, Record
from secondsite.spec import FileSet


def state_of(
    fileset: FileSet,
    record: Record,
    *,
    now: float,
    standby: bool,
    pulling: bool = False,
    problem: str | None = None,
    versions: VersionsState | None = None,
) -> FileSetState:
    """The set at ``now`` (unix seconds). A record that says nothing is unknown, never current.

    problem: what ended the last pull before the record could tell. versions: as ``versions.state`` shows them.
    """
    status, reason = _status(fileset, record, now=now, standby=standby, pulling=pulling)
    if problem is not None and status not in (FilesStatus.SOURCE, FilesStatus.CURRENT, FilesStatus.BLOCKED):
        status, reason = FilesStatus.FAILED, problem
    # What a site pulled before it became the original says nothing: its age only grows, and when the site is the
    # standby again it would be shown as its lag.
    original = record.role == SOURCE
    return FileSetState(
        name=fileset.name,
        status=status,
        complete_at=None if original else record.complete_at,
        last_attempt_at=record.last_attempt_at,
        reason=reason,
        held_back=record.held_back if status is FilesStatus.BLOCKED else None,
        versions=None if status is FilesStatus.SOURCE else versions,
    )


def _status(
    fileset: FileSet, record: Record, *, now: float, standby: bool, pulling: bool
) -> tuple[FilesStatus, str | None]:
    if not standby:
        return FilesStatus.SOURCE, None
    if record.role == SOURCE:
        return FilesStatus.BLOCKED, "it was the original here; apply --replace-standby makes it the copy again"
    if record.outcome == "blocked":
        return FilesStatus.BLOCKED, record.reason
    if record.complete_at is not None and now - record.complete_at <= 2 * max(fileset.interval, 2 * record.seconds):
        return FilesStatus.CURRENT, record.reason
    if pulling:
        return FilesStatus.PULLING, record.reason
    if record.outcome == "failed":
        return FilesStatus.FAILED, record.reason
    if record.complete_at is not None:
        return FilesStatus.STALE, f"the last complete pull began {now - record.complete_at:.0f} s ago"
    return FilesStatus.UNKNOWN, "never pulled"
