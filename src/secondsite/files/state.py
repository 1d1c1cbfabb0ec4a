"""What a file set is at one site at one moment, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from secondsite.files.budget import Rule

# How the reason begins where the copy lacks only what its source cannot give.
SOURCE_UNREADABLE = "the source cannot read all it has; what it cannot read stays here as it was"


class FilesStatus(StrEnum):
    """How a file set's copy is doing. Silence is never health: no pull for long is ``stale``."""

    SOURCE = "source"  # this site is primary: others pull from here
    CURRENT = "current"  # pulled completely within twice its interval
    STALE = "stale"  # last complete pull is older than that
    PULLING = "pulling"
    BLOCKED = "blocked"  # a safety rule stopped it (deletion budget, source not mounted)
    FAILED = "failed"  # the last pull failed
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VersionsState:
    """The versions that are kept of a set. newest_at: the moment whose files the newest holds (unix seconds). overdue:
    nobody has looked for too long whether one is needed. problem: why the last attempt failed."""

    count: int
    newest_at: float | None = None
    overdue: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Coming:
    """How far a pull, or the fetching of large files, has come; None while that is unknown."""

    done_bytes: int
    total_bytes: int | None = None
    bytes_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class FileSetState:
    """A file set here. Times are unix seconds.

    complete_at: the *source's* moment up to which everything is known to be here (start of the last complete pull).
    pending_files, pending_bytes: known to be missing here; None where that cannot be known. held_back: deletions that
    the budget stopped and that wait for a person.

    kept: ``stream`` where the source tells each change, ``pull`` where it is compared each interval. unstreamed: why it
    is not the stream. queue: changed paths that wait at the source, where it tells them. last_reconcile_at: end of the
    last full comparison. files_per_second, bytes_per_second: brought by the stream, lately. versions: None where
    none are to be kept, or at the source. bandwidth: bytes a second that may come, None without a limit. bandwidth_by:
    ``file`` or ``command``, who says so; None at the source. entries: files and folders that the copy has, as far as
    known. deletions, changes: the rules ``max_delete`` and ``max_change``; None where there is none. coming: None
    where nothing large comes.
    """

    name: str
    status: FilesStatus
    complete_at: float | None = None
    last_attempt_at: float | None = None
    pending_files: int | None = None
    pending_bytes: int | None = None
    reason: str | None = None
    held_back: int | None = None
    kept: str | None = None
    unstreamed: str | None = None
    queue: int | None = None
    last_reconcile_at: float | None = None
    files_per_second: float | None = None
    bytes_per_second: float | None = None
    versions: VersionsState | None = None
    bandwidth: int | None = None
    bandwidth_by: str | None = None
    entries: int | None = None
    deletions: Rule | None = None
    changes: Rule | None = None
    coming: Coming | None = None
