"""Fetch a file set from the source's daemon: copy first, look at what would be deleted, then delete within the budget.

A pull is one pass that copies and deletes nothing (``--max-delete=0``). rsync says how many deletions it held back;
usually none, and the pull is done. Otherwise the budget decides, and a second pass deletes. So a source that is
suddenly empty costs the copy nothing, and an idle pull costs one pass. What is rewritten is counted as it goes, and
stops the pull beyond ``max_change``: nobody can tell it in advance without a pass more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from secondsite.errors import FinalError
from secondsite.events import Emit, Note, ignore
from secondsite.files import inner, parting
from secondsite.files import store as records
from secondsite.files.bandwidth import Watched
from secondsite.files.budget import Alarm, Minute, counted
from secondsite.files.durable import sync_file_systems
from secondsite.files.rsync import command, irregular
from secondsite.files.rsync.delete import delete
from secondsite.files.rsync.passes import Passes
from secondsite.files.store import PULLED, SOURCE, STORE, Record, locked, mount_of
from secondsite.files.stream.apply import Taken
from secondsite.files.stream.thread import in_thread
from secondsite.spec import FileSet

TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class PullResult:
    """What one pull did. started_at: unix seconds by this host's clock; bytes: file content that was transferred.

    complete: everything that existed at the source at ``started_at`` is here. blocked: a safety rule stopped it.
    held_back: deletions that the budget stopped. whole: what existed then is here, whatever is here beside it.
    """

    files: int
    bytes: int
    deleted: int
    seconds: float
    started_at: float
    complete: bool
    reason: str | None = None
    blocked: bool = False
    held_back: int | None = None
    whole: bool = False


async def pull(
    fileset: FileSet,
    source_address: str,
    port: int,
    *,
    bandwidth: int | None = None,
    timeout: float = TIMEOUT_SECONDS,
    emit: Emit = ignore,
    store: Path = STORE,
) -> PullResult:
    """Bring the folder here to what the source has; the record in ``store`` says the same afterwards.

    bandwidth: bytes a second, else what holds for the set, also where that is changed meanwhile. timeout: seconds for
    everything. What cannot be fetched is a result (``complete`` is false and ``reason`` says why). Raises FinalError
    (``files-are-source``) where this site is the source, RetryableError (``files-busy``) where another pull does not
    end in time.
    """
    began = time.monotonic()
    async with locked(fileset.name, seconds=timeout, store=store) as held:
        record = records.load(fileset.name, store)
        if record.role == SOURCE:
            raise FinalError(
                f"the file set {fileset.name} is the original here; nothing may be pulled over it",
                slug="files-are-source",
                step="pull files",
                hint="secondsite apply --replace-standby SITE makes it the copy again",
            )
        started, clock = time.time(), time.monotonic()
        work = Passes(
            fileset,
            command.url(source_address, port, fileset.name),
            began + timeout,
            Watched(fileset, store, bandwidth),
            emit,
            held,
            record,
            store,
            _aside(fileset, record, store),
        )
        try:
            complete, entries = await _carry_out(work)
        except Taken:
            complete, entries, work.reason = False, None, f"{fileset.name} became the original here"
        except asyncio.CancelledError:  # the agent stops: what was done counts all the same
            record = records.load(fileset.name, store)
            if record.role != SOURCE and record.settled:
                records.save(fileset.name, replace(record, window=_window(record, work, None)), store)
            raise
        result = PullResult(
            work.files,
            work.bytes,
            work.deleted,
            time.monotonic() - clock,
            started,
            complete,
            work.reason,
            work.blocked,
            work.held_back,
            work.whole,
        )
        if records.load(fileset.name, store).role != SOURCE:  # promoted meanwhile: its word counts
            records.save(fileset.name, _after(record, result, entries, work), store)
        if complete:
            held.done()
            await _tell_lost(fileset, emit, store)
        return result


async def _carry_out(work: Passes) -> tuple[bool, int | None]:
    """Whether it is complete, and how many entries it has."""
    target, record = Path(work.fileset.path), work.record
    if work.record.mount is not None and mount_of(target) != work.record.mount:
        work.reason = f"{work.record.mount} is not mounted here, so nothing is written below it"
        work.blocked = True
        return False, None
    missing = inner.look(target, work.record.inner).missing
    if missing is not None:
        work.reason, work.blocked, work.unmounted = missing, True, True
        return False, None
    if work.record.alarm == Alarm.CHANGES and not work.record.allow_deletions:
        work.reason, work.blocked, work.held_back = record.alarm_reason or record.reason, True, record.held_back
        return False, None
    made = _made(target)
    try:
        seen = await work.copy()
        if seen is not None:
            work.stale = irregular.still_here(target, work.skipped, irregular.of_set(work.fileset.patterns))
        done = seen is not None and (not (seen.skipped or work.stale) or await delete(work, seen))
    finally:
        for aside in work.asides:
            _unmade(aside)
    if seen is None and made:
        _unmade(target)
    work.whole = done or (seen is not None and work.whole)
    if seen is None or not work.whole:
        return False, None
    try:  # always: what changes of a mode or of a link is in none of rsync's numbers
        await sync_file_systems(target, work.fileset.patterns)
    except OSError as failing:
        work.reason, work.whole = f"the disk did not take what was pulled: {failing}", False
        return False, None
    if not done:
        return False, None
    kept = [str(aside) for aside in work.asides if aside.exists()]
    if kept:
        where = " and ".join(kept)
        text = f"what differed in {target} before its first pull is now in {where}; remove it when you are sure"
        work.emit(Note(text, level="warning"))
    return True, await _entries(work, seen.files)


async def _entries(work: Passes, told: int) -> int:
    """How many the copy has, where the source may tell more: what it lists and never sends is in rsync's number. All is
    counted only where that number is not what the last one, and what came and went since, make it."""
    if told == (work.record.entries or 0) + work.created - work.deleted:
        return told
    here = await in_thread(lambda: irregular.entries(Path(work.fileset.path), work.fileset.patterns))
    return told if here is None else min(told, here)


def _made(target: Path) -> bool:
    """See that there is a folder: what is confined to it cannot make it. Whether there was none. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _unmade(folder: Path) -> None:
    """Remove a folder that was made for nothing."""
    with contextlib.suppress(OSError):
        folder.rmdir()


async def _tell_lost(fileset: FileSet, emit: Emit, store: Path) -> None:
    """What only this site had, where it was the primary until the other one took over. The pull is complete whatever
    becomes of the list: what cannot be written now is written by the next pull, and told until then."""
    try:
        lost = await parting.listed(fileset, store)
    except (OSError, ValueError) as failing:
        emit(Note(f"the files of {fileset.name} that were lost could not be listed: {failing}", level="error"))
        return
    if lost is not None and lost["count"]:
        text = f"{lost['count']} files of {fileset.name} never reached the other site: secondsite report --lost-files"
        emit(Note(text, level="warning"))


def _aside(fileset: FileSet, record: Record, store: Path) -> Path | None:
    """Before the first complete pull what is here may be somebody's: it is moved there, not lost."""
    target = Path(fileset.path)
    if record.settled or not target.is_dir() or not any(target.iterdir()):
        return None
    return parting.aside_folder(fileset.name, store)


def _window(record: Record, work: Passes, entries: int | None) -> tuple[Minute, ...]:
    """The record's with what the pull has done. entries: that the copy has now, where it is known."""
    before = record.entries or 0
    after = before if entries is None else entries
    gone = work.deleted - work.uncounted
    return counted(record.window, time.time(), deleted=gone, rewritten=work.rewritten, before=before, after=after)


def _after(record: Record, result: PullResult, entries: int | None, work: Passes) -> Record:
    """The record that says what happened."""
    before = record.alarm
    if record.settled:
        record = replace(record, window=_window(record, work, entries))
    if work.alarm is not None:
        record = replace(record, alarm=work.alarm.value, alarm_reason=result.reason)
    outcome = "complete" if result.complete else "blocked" if result.blocked else "failed"
    record = replace(record, role=PULLED, last_attempt_at=result.started_at, outcome=outcome, reason=result.reason)
    record = replace(record, pulls=record.pulls + 1)
    if work.unmounted:  # nobody knows what it holds when it is back
        record = replace(record, epoch=None)
    if work.whole:  # also where deletions wait for a person: nothing would be lost by them
        record = replace(record, complete_at=result.started_at, confirmed_at=result.started_at)
    if record.allow_deletions and before == Alarm.CHANGES and work.whole and not result.complete:
        # The word was for the changes, which are here; it is none for the deletions that are still to come.
        alarm = work.alarm.value if work.alarm is not None else None
        record = replace(record, window=(), alarm=alarm, allow_deletions=False, held_back=None)
    if result.blocked and result.held_back is None and record.held_back:  # nothing was compared: it waits as before
        return record
    if result.blocked:
        return replace(record, held_back=result.held_back, allow_deletions=False)
    if not result.complete:
        return record
    guarded_at = record.guarded_at if record.settled and not record.allow_deletions else None
    if guarded_at is None:
        work.lately.clear()
    return replace(
        record,
        entries=entries,
        seconds=result.seconds,
        settled=True,
        allow_deletions=False,
        held_back=None,
        last_reconcile_at=time.time(),
        patterns=work.fileset.patterns,
        window=() if record.allow_deletions else record.window,  # a person's word covers what was in it
        guarded_at=guarded_at or time.time(),
        alarm=None,
        alarm_reason=None,
    )
