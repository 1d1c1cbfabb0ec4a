"""After a complete pull: make a version where one is due, in a process of its own, and never in anybody's way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondsite.errors import RetryableError, SecondsiteError
from secondsite.files import store as records
from secondsite.files.store import PULLED, Held, locked
from secondsite.files.versions import state
from secondsite.files.versions.child import work
from secondsite.files.versions.retention import Mark, due
from secondsite.files.versions.state import Looked
from secondsite.spec import FileSet
from secondsite.spec.retention import parse

LOCK_SECONDS = 0.5  # the next pull is as good an occasion
AGAIN_SECONDS = 60.0  # after one that failed
NOT_NOW = ("files-busy", "versions-ended")


async def keep_versions(
    fileset: FileSet, store: Path, now: float, *, complete_at: float | None = None
) -> Looked | None:
    """Make a version of the set and remove those that no rule wants, if that is due; None where nothing was tried.

    Call it behind a pull or batch that was complete, as often as you like, without the set's lock. now: unix seconds.
    complete_at: the source's moment up to which everything is here, where it is later than the record's. What goes
    wrong is remembered and told by status; nothing of the world is raised. Whoever wants the set's lock meanwhile has
    it within milliseconds: the version is given up, and made after another pull.
    """
    if fileset.versions is None:
        return None  # asked each second while nothing happens: without a look at the disk
    before = state.load(fileset.name, store)
    if not is_due(fileset, before, now):
        return None
    try:
        async with locked(fileset.name, seconds=LOCK_SECONDS, store=store) as held:
            after = await _keep(fileset, store, now, held, before, complete_at)
    except RetryableError as busy:
        if busy.slug not in NOT_NOW:
            raise
        return None
    if after is not None:
        state.save(fileset.name, after, store)
    return after


def is_due(fileset: FileSet, before: Looked, now: float) -> bool:
    """Pure. A failed attempt is not repeated at once."""
    if fileset.versions is None:
        return False
    if before.problem is not None and before.tried_at is not None and 0 <= now - before.tried_at < AGAIN_SECONDS:
        return False
    marks = [] if before.looked_at is None else [Mark(0, before.looked_at)]
    return due(parse(fileset.versions), marks, now)


async def _keep(
    fileset: FileSet, store: Path, now: float, held: Held, before: Looked, complete_at: float | None
) -> Looked | None:
    """Only of what a pull has completed: not while a person is asked, not of the original, not of half a pull."""
    record = records.load(fileset.name, store)
    if record.role != PULLED or record.outcome != "complete":
        return None
    order = {
        "rules": fileset.versions,
        "made_at": now,
        "complete_at": max(record.complete_at or 0.0, complete_at or 0.0) or None,
        "promotions": record.promotions,
    }
    try:
        done = await work("keep", fileset.name, str(fileset.path), order, held=held)
    except RetryableError:
        raise
    except (SecondsiteError, OSError) as failed:
        told = failed.message if isinstance(failed, SecondsiteError) else str(failed)
        if isinstance(failed, SecondsiteError) and failed.slug == "versions-no-place":
            told = f"{told}; {failed.hint}"  # nothing but another place helps: readiness has to say which
        return replace(before, tried_at=now, problem=told)
    return Looked(looked_at=now, tried_at=now, count=done["count"], newest_at=done["newest_at"])
