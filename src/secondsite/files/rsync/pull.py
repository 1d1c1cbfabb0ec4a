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
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondsite.errors import FinalError
from secondsite.events import Emit, Note, Progress, ignore
from secondsite.files import inner, lately, parting
from secondsite.files import store as records
from secondsite.files.bandwidth import Watched
from secondsite.files.budget import (
    Alarm,
    Counted,
    Hour,
    Minute,
    allowed_changes,
    allowed_deletions,
    counted,
    last_hour,
    many_changes,
    refusal,
    shrinks,
)
from secondsite.files.durable import sync_file_systems
from secondsite.files.lately import Lately
from secondsite.files.rsync import command, irregular, passing
from secondsite.files.rsync.output import (
    Code,
    Stats,
    only_moved,
    replaced,
    rewritten,
    source_missing,
    stats,
    unread,
    why,
)
from secondsite.files.rsync.runner import Ended, GoOn, run
from secondsite.files.state import SOURCE_UNREADABLE
from secondsite.files.store import PULLED, SOURCE, STORE, Held, Record, locked, mount_of
from secondsite.files.stream.apply import Taken
from secondsite.files.stream.thread import in_thread
from secondsite.spec import FileSet

TIMEOUT_SECONDS = 3600.0
WITHOUT_LIMIT = 2**31 - 1  # deletions: rsync has said how many files, and not how many folders they are in
PASSES = 3  # of copying while files vanish under it
MOST_SKIPPED = 100_000  # devices, sockets and FIFOs that a source may have


@dataclass(frozen=True, slots=True)
class PullResult:
    """What one pull did. started_at: unix seconds by this host's clock; bytes: file content that was transferred.

    complete: everything that existed at the source at ``started_at`` is here. blocked: a safety rule stopped it.
    held_back: deletions that the budget stopped.
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


@dataclass(slots=True)
class _Pull:
    """One pull under way."""

    fileset: FileSet
    source: str
    deadline: float
    limit: Watched
    emit: Emit
    held: Held
    record: Record
    store: Path
    aside: Path | None = None
    irregular_aside: Path | None = None  # what bears the name of a device or such a thing; rsync never writes there
    files: int = 0
    bytes: int = 0
    deleted: int = 0
    uncounted: int = 0  # of these, what came within the hour
    created: int = 0
    reason: str | None = None
    blocked: bool = False
    unmounted: bool = False  # a file system inside the copy is not there
    held_back: int | None = None
    whole: bool = False  # what exists at the source is here, whatever is here beside it
    rewritten: int = 0
    alarm: Alarm | None = None
    skipped: set[irregular.Name] = field(default_factory=set)  # what is no file, link or folder at the source
    stale: dict[irregular.Name, int] = field(
        default_factory=dict
    )  # of these, what is one here: entries that go with each

    @property
    def lately(self) -> Lately:
        return lately.of(self.fileset.name, self.store)

    @property
    def asides(self) -> list[Path]:
        return [aside for aside in (self.aside, self.irregular_aside) if aside is not None]

    @property
    def may_rewrite(self) -> int | None:
        """Files that may get another content, beyond those that did already; None: as many as there are. What differs
        before the first complete pull goes aside, and a person's word covers what follows it."""
        record = self.record
        if not record.settled or record.allow_deletions:
            return None
        most = self.fileset.max_change
        return allowed_changes(record.window, time.time(), entries=record.entries or 1, max_change=most)

    async def copy(self) -> Stats | None:
        """Passes that copy and delete nothing, until one sees no file vanish or move; None where that fails."""
        moved = False
        for _ in range(PASSES):
            self.skipped.clear()
            ended = await self._run(max_delete=0)
            seen = self._count(ended)
            if self._alarmed():
                return None
            if ended.code == Code.DELETE_LIMIT and not seen.skipped:  # its own words were drowned in the source's
                self.reason = "the source talks so much that what is extra here cannot be told"
                return None
            in_the_way = ended.code == Code.PARTIAL and seen.skipped > 0  # a folder became a file: deleting decides
            if ended.code in (Code.OK, Code.DELETE_LIMIT) or in_the_way:
                self.whole = not in_the_way
                return seen
            moved = _moved(ended)
            if ended.code != Code.VANISHED and not moved:
                self._fail(ended)
                return None
        if moved:  # then nobody knows what is extra here
            self.reason = f"the source changes faster than it can be compared: {why(ended.text)}"
            return None
        self.whole = True
        return seen  # short-lived files come and go: whatever was there before the first pass has been copied

    def _alarmed(self) -> bool:
        """Whether it was stopped because too much is rewritten; then the reason says so."""
        if self.alarm is not None:
            self.reason = many_changes(self.record.entries or 1, self.fileset.max_change)
            self.blocked, self.held_back, self.whole = True, self.rewritten, False
        return self.alarm is not None

    async def delete(self, seen: Stats) -> bool:
        """Delete what is extra here, within the budget, or as many as a person has agreed to."""
        extra = seen.skipped + sum(self.stale.values())
        files = seen.files
        if self.record.settled:  # else what is extra goes aside, however much it is
            here = await in_thread(lambda: irregular.entries(Path(self.fileset.path), self.fileset.patterns))
            files = files if here is None else max(0, min(files, here - extra))  # it may list what never comes
        found = Counted(files, seen.created, extra)
        # A person has agreed to what was shown: when still more is gone by now, somebody has to look again.
        shown = self.record.held_back if self.record.allow_deletions else None
        agreed = self.record.allow_deletions and found.extra <= (shown or found.extra)
        free = agreed or not self.record.settled  # unsettled: what is extra goes aside
        free = free or self.fileset.max_delete >= 1
        here_before = found.before if not self.record.entries else min(found.before, self.record.entries)
        hour = last_hour(self.record.window, time.time(), entries=here_before)
        most = WITHOUT_LIMIT if free else allowed_deletions(hour, self.fileset.max_delete)
        waits = self.record.alarm == Alarm.DELETIONS  # it was too many once: fewer of them wait for a person as well
        no = refusal(found, most=most, lately=hour.deleted, waits=waits, agreed=shown)
        if no is not None and not agreed:
            came = passing.Passing() if waits else await self._passing(found, hour)
            counting = replace(found, extra=found.extra - came.free)
            if not came.free or refusal(counting, most=most, lately=hour.deleted) is not None:
                self.reason, self.blocked, self.held_back = no, True, found.extra
                self.alarm = Alarm.DELETIONS if found.source > 1 else None  # an empty source may be back at any moment
                return False
            gone = await in_thread(lambda: passing.remove(Path(self.fileset.path), came.names, self.may))
            self.deleted += gone
            self.uncounted += max(0, gone - came.counting)
            most -= came.counting
        if self.stale:
            await self._remove_stale()
        if not seen.skipped:
            return True
        left = most - sum(self.stale.values())
        for _ in range(PASSES):
            ended = await self._run(max_delete=left)
            left = max(0, left - self._count(ended).deleted)
            if self._alarmed():
                return False
            if ended.code in (Code.OK, Code.VANISHED):
                return True
            if not _moved(ended):
                break
        self._fail(ended)
        if ended.code == Code.DELETE_LIMIT:  # it counts the folders of a tree only when it deletes them
            self.reason = f"more than {most} files and folders are gone at the source; the deletion budget is {most}"
            self.blocked, self.held_back, self.alarm = True, max(found.extra, most + 1), Alarm.DELETIONS
        return False

    async def _passing(self, found: Counted, hour: Hour) -> passing.Passing:
        """Of what is extra here, what came within the hour. Looked for only where it matters: it costs a listing."""
        since, target, patterns = self.record.guarded_at, Path(self.fileset.path), self.fileset.patterns
        before = self.record.entries or found.before
        smaller = shrinks(before, found.source, self.fileset.max_delete)
        if since is None or smaller or self.fileset.max_delete <= 0 or found.source <= 1 or found.extra > passing.MOST:
            return passing.Passing()
        left = self.deadline - time.monotonic()
        names = await passing.extra(self.source, target, patterns, seconds=left)
        now = time.time()
        known = sum(self.lately.rewritten.has(path, now) for path in names)  # no others need to be taken for these
        names = [path for path in names if not self.lately.rewritten.touched(path, now)]
        rewritten = max(0, hour.rewritten + self.rewritten - known)
        return await in_thread(lambda: passing.among(target, names, patterns, since=since, rewritten=rewritten))

    async def _remove_stale(self) -> None:
        target, excludes = Path(self.fileset.path), irregular.of_set(self.fileset.patterns)
        if self.aside is not None:
            self.irregular_aside = parting.aside_folder(self.fileset.name, self.store)
        aside, may = self.irregular_aside, self.may
        may()
        self.deleted += await in_thread(lambda: irregular.remove(target, self.stale, aside, excludes, may))

    def may(self) -> None:
        """Asked before whatever writes. Whoever promotes writes the role first, and then ends the rsync that is noted:
        one that is not noted yet is not waited for, and finds the role. Raises Taken."""
        if self._taken():
            raise Taken

    def _taken(self) -> bool:
        return records.load(self.fileset.name, self.store).role == SOURCE

    async def _run(self, *, max_delete: int) -> Ended:
        """One pass, or what becomes of it where the limit is changed: rsync cannot change its own, so that it is ended
        and goes on from what it has left."""
        while True:
            ended = await self._once(max_delete=max_delete)
            if not (ended.asked and ended.code in (Code.SIGNAL, Code.STREAM)) or self.alarm is not None:
                return ended

    async def _once(self, *, max_delete: int) -> Ended:
        self.may()
        bandwidth, another = self.limit.begin()
        argv = command.pull(
            self.source,
            Path(self.fileset.path),
            exclude=self.fileset.patterns,
            bandwidth=bandwidth,
            max_delete=max_delete,
            backup=self.aside,
        )
        left, writable = self.deadline - time.monotonic(), [Path(self.fileset.path)]
        if self.aside is not None:
            self.aside.mkdir(parents=True, exist_ok=True, mode=0o700)
            writable.append(self.aside)

        def ends() -> bool:  # asked as soon as the rsync is noted, and then again and again
            if self._taken():
                records.end_running(self.fileset.name, self.store)
                return True
            return another()

        ended = await run(
            argv,
            seconds=left,
            held=self.held,
            watch=self._watch,
            writable=writable,
            go_on=self._within(self.may_rewrite),
            until=ends,
        )
        self.may()
        return ended

    def _within(self, most: int | None) -> GoOn:
        """Counts files that are rewritten; no more than ``most`` are: one that encrypts them all costs so many."""

        def go_on(lines: bytes) -> bool:
            names, now = list(map(irregular.unescaped, rewritten(lines))), time.time()
            self.rewritten += len(self.lately.counting(names, now)) + replaced(lines)
            self.lately.rewritten.add(names, now)
            self.skipped |= set(irregular.skipped(lines))
            if most is not None and self.rewritten > most:
                self.alarm = Alarm.CHANGES
            return self.alarm is None and len(self.skipped) <= MOST_SKIPPED

        return go_on

    def _watch(self, done: int, total: int | None, rate: float, left: int) -> None:
        self.emit(Progress(f"files {self.fileset.name}", done, total, rate_per_second=rate, seconds_left=left))

    def _count(self, ended: Ended) -> Stats:
        seen = stats(ended.stdout, ended.stderr)
        self.files += seen.transferred
        self.bytes += seen.bytes
        self.deleted += seen.deleted
        self.created += seen.created
        return seen

    def _fail(self, ended: Ended) -> None:
        loose = source_missing(ended.text)
        self.reason = "it did not finish in its time" if ended.code is None else loose or why(ended.text)
        missing = unread(ended.text) if ended.code == Code.PARTIAL and loose is None else None
        if missing is not None:
            self.reason = f"{SOURCE_UNREADABLE}: {missing}"
        if len(self.skipped) > MOST_SKIPPED:
            self.reason = f"the source names more than {MOST_SKIPPED} devices, sockets and FIFOs"
        self.blocked = loose is not None


def _moved(ended: Ended) -> bool:
    """Whether another pass is all it needs."""
    return ended.code == Code.PARTIAL and only_moved(ended.text)


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
        work = _Pull(
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
        )
        if records.load(fileset.name, store).role != SOURCE:  # promoted meanwhile: its word counts
            records.save(fileset.name, _after(record, result, entries, work), store)
        if complete:
            held.done()
            await _tell_lost(fileset, emit, store)
        return result


async def _carry_out(work: _Pull) -> tuple[bool, int | None]:
    """Whether it is complete, and how many entries it has."""
    target = Path(work.fileset.path)
    if work.record.mount is not None and mount_of(target) != work.record.mount:
        work.reason = f"{work.record.mount} is not mounted here, so nothing is written below it"
        work.blocked = True
        return False, None
    missing = inner.look(target, work.record.inner).missing
    if missing is not None:
        work.reason, work.blocked, work.unmounted = missing, True, True
        return False, None
    if work.record.alarm == Alarm.CHANGES and not work.record.allow_deletions:
        work.reason, work.blocked, work.held_back = work.record.reason, True, work.record.held_back
        return False, None
    made = _made(target)
    try:
        seen = await work.copy()
        if seen is not None:
            work.stale = irregular.still_here(target, work.skipped, irregular.of_set(work.fileset.patterns))
        done = seen is not None and (not (seen.skipped or work.stale) or await work.delete(seen))
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


async def _entries(work: _Pull, told: int) -> int:
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


def _window(record: Record, work: _Pull, entries: int | None) -> tuple[Minute, ...]:
    """The record's with what the pull has done. entries: that the copy has now, where it is known."""
    before = record.entries or 0
    after = before if entries is None else entries
    gone = work.deleted - work.uncounted
    return counted(record.window, time.time(), deleted=gone, rewritten=work.rewritten, before=before, after=after)


def _after(record: Record, result: PullResult, entries: int | None, work: _Pull) -> Record:
    """The record that says what happened."""
    if record.settled:
        record = replace(record, window=_window(record, work, entries))
    if work.alarm is not None:
        record = replace(record, alarm=work.alarm.value)
    outcome = "complete" if result.complete else "blocked" if result.blocked else "failed"
    record = replace(record, role=PULLED, last_attempt_at=result.started_at, outcome=outcome, reason=result.reason)
    record = replace(record, pulls=record.pulls + 1)
    if work.unmounted:  # nobody knows what it holds when it is back
        record = replace(record, epoch=None)
    if work.whole:  # also where deletions wait for a person: nothing would be lost by them
        record = replace(record, complete_at=result.started_at, confirmed_at=result.started_at)
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
    )
