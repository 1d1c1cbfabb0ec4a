"""At the standby: take one batch into the copy. It is weighed, applied, made durable, and noted in the record."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, SecondsiteError
from secondsite.files import store as records
from secondsite.files.budget import Alarm, Stopped, alarm, allowed_changes, counted, many_changes
from secondsite.files.durable import sync_file_systems
from secondsite.files.rsync.fetch import Rewriting
from secondsite.files.store import SOURCE, Held, Record, locked, mount_of
from secondsite.files.stream import wire
from secondsite.files.stream.apply import Applied, Applying, NoSpace, Taken
from secondsite.files.stream.beneath import Root
from secondsite.files.stream.copy import Copy
from secondsite.files.stream.thread import in_thread, stoppable
from secondsite.files.stream.weigh import Cost, Weighing

LOCK_SECONDS = 5.0
INSIDE_SECONDS = 1.0  # between two looks at what is mounted inside the copy, where nothing comes
SHRINKS = "much of what came within the hour is gone again: it is compared in full"
EMPTIED = "all that is here has gone at the source, or was renamed: it is compared in full"
REMOUNTED = "what is mounted inside the copy has changed: it is compared in full"


class End(StrEnum):
    """Why a follower stopped, where nothing has failed."""

    COMPARE = "compare"  # something was missed, or could not be brought: a full comparison first
    AGAIN = "again"  # what was on its way is too old, or the journal is another: ask again
    STOPPED = "stopped"  # a person has to look; the record says why
    PROMOTED = "promoted"


class Taking:
    """The batches of one connection. seq: of the source's journal, up to which the record says that all is here.
    confirmed_at: what the source has told last was complete, by this host's clock (unix seconds)."""

    def __init__(self, copy: Copy, record: Record) -> None:
        self._copy, self._name, self._store = copy, copy.name, copy.store
        assert record.epoch is not None
        self.epoch, self.seq, self._pulls = record.epoch, record.seq, record.pulls
        self.confirmed_at = 0.0
        self._looked_at = -INSIDE_SECONDS

    def outdated(self) -> End | None:
        """Whether this connection's batches may still be applied. A pull that came between has brought what is newer
        than a batch that was looked at before it."""
        record = records.load(self._name, self._store)
        if record.role == SOURCE:
            return End.PROMOTED
        if record.alarm is not None:
            return End.STOPPED
        return End.AGAIN if (record.pulls, record.epoch) != (self._pulls, self.epoch) else None

    async def take(self, bodies: list[bytes], told: Mapping[str, Any]) -> End | None:
        """Apply a batch, and note that it is here; else why not. Raises SecondsiteError, NoSpace, Taken, OSError."""
        fileset, copy = self._copy.fileset, self._copy
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store) as held:
            stop = threading.Event()
            may = self._may(stop)  # before the record is looked at: whoever promotes from here on is seen
            end = self.outdated()
            if end is not None:
                return end
            record = records.load(self._name, self._store)
            if record.mount is not None and mount_of(Path(fileset.path)) != record.mount:
                raise FinalError(
                    f"{record.mount} is not mounted here, so nothing is written below it", slug="source-not-mounted"
                )
            if self._unsure_inside(record) and (end := self._inside(record)) is not None:
                return end
            batch = await in_thread(lambda: [wire.decode(body) for body in bodies])
            with Root(str(fileset.path)) as root:
                weighing = Weighing(root, batch, copy.excludes)
                cost = await in_thread(weighing.cost)
                end, deleted = await self._judged(weighing, cost, record)
                if end is not None:
                    return end
                fresh, applying = held.begin(), Applying(weighing, may)
                rewriting = self._rewriting(cost, record, deleted)
                try:
                    await self._carry_out(applying, held, stop, rewriting)
                except (SecondsiteError, NoSpace, OSError):
                    await self._count_half(Weighing(root, batch, copy.excludes), cost, rewriting)
                    raise
                if rewriting.stopped:
                    await self._count_half(Weighing(root, batch, copy.excludes), cost, rewriting)
                    entries, share = record.entries or 1, fileset.max_change
                    self._stop(Stopped(Alarm.CHANGES, many_changes(entries, share), len(rewriting.names)))
                    return End.STOPPED
                applied = applying.applied
                if fresh:
                    held.done()
        await sync_file_systems(Path(fileset.path), fileset.patterns)
        now = time.time()
        copy.lately.came.add(applied.created, now)
        copy.did(len(batch), applied.written + sum(one.size for one in applied.fetch))
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store):
            rewritten = len(copy.lately.counting(cost.rewritten, now)) + len(rewriting.names)
            end = self._note(told, applied, deleted, rewritten, now)
            copy.lately.rewritten.add((*cost.rewritten, *rewriting.names), now)
            copy.lately.anew.add(applied.anew, now)
        return end

    async def skip(self, told: Mapping[str, Any], now: float) -> None:
        """The journal's number grew without a batch: what has changed is no part of the set."""
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store):
            self._note(told, Applied(), 0, 0, now)

    async def _judged(self, weighing: Weighing, cost: Cost, record: Record) -> tuple[End | None, int]:
        """Why the batch is not applied, if so; and how many of its deletions count."""
        stopped, deleted = self._weighed(cost, record)
        if stopped is not None:  # the record's number may have strayed, and nobody is to be called for that
            record = replace(record, entries=await in_thread(weighing.entries))
            stopped, deleted = self._weighed(cost, record)
            self._change(entries=record.entries)
        if stopped is not None and stopped.alarm is Alarm.CHANGES:
            self._stop(stopped)
            return End.STOPPED, deleted
        before = record.entries or 0
        after = before - len(cost.gone) + cost.created
        falls = self._copy.sizes.fall(time.monotonic(), before, after, self._copy.fileset.max_delete)
        # What was renamed, or when each file was made here, only a full comparison knows.
        compared = None
        if stopped is not None:
            compared = stopped.reason
        elif falls and len(cost.gone) > deleted:
            compared = SHRINKS
        elif cost.empties and deleted:
            compared = EMPTIED
        if compared is None:
            return None, deleted
        self._change(epoch=None, reason=compared)
        return End.COMPARE, deleted

    def _rewriting(self, cost: Cost, record: Record, deleted: int) -> Rewriting:
        """What may be rewritten besides, as only rsync finds out."""
        now, lately, share = time.time(), self._copy.lately, self._copy.fileset.max_change
        most = allowed_changes(record.window, now, entries=record.entries or 1, max_change=share)
        if most is not None:
            most = max(0, most - deleted - len(lately.counting(cost.rewritten, now)))
        return Rewriting(frozenset(cost.rewritten), most, lambda paths: lately.counting(paths, now))

    async def _carry_out(self, applying: Applying, held: Held, stop: threading.Event, rewriting: Rewriting) -> None:
        """What was judged to be harmless. Raises NoSpace, Taken, OSError, RetryableError."""
        applied, may = await stoppable(applying.carry_out, stop.set), applying.may
        if applied.fetch:
            applied.amiss |= await self._copy.fetched(applied.fetch, held, rewriting, may)
        if rewriting.stopped:
            return
        await stoppable(applying.finish, stop.set)
        siblings = await stoppable(applying.siblings, stop.set)
        if siblings:
            applied.amiss |= await self._copy.fetched(siblings, held, rewriting, may)

    async def _count_half(self, left: Weighing, cost: Cost, rewriting: Rewriting) -> None:
        """A batch that ended half-way counts with what it has done: a source may see to it that none ever ends."""
        now = time.time()
        still = await in_thread(left.cost)
        gone = set(cost.gone) - set(still.gone)
        deleted = sum(not self._copy.lately.came.has(path, now) for path in gone)
        window = records.load(self._name, self._store).window
        done = set(cost.rewritten) - set(still.rewritten)
        rewritten = len(self._copy.lately.counting(done, now)) + len(rewriting.names)
        self._change(window=counted(window, now, deleted=deleted, rewritten=rewritten))
        self._copy.lately.rewritten.add((*done, *rewriting.names), now)

    def _unsure_inside(self, record: Record) -> bool:
        """Whether a file system inside the copy is not mounted, or another one than when all was compared."""
        self._looked_at = time.monotonic()
        return self._copy.amiss_inside(record) is not None

    def _inside(self, record: Record) -> End | None:
        """Under the set's lock: then all is compared, as soon as it is there. Raises FinalError
        (``source-not-mounted``)."""
        found = self._copy.amiss_inside(record)
        if found is None:
            return None
        self._change(epoch=None, reason=found.missing or REMOUNTED)
        if found.missing is not None:
            raise FinalError(found.missing, slug="source-not-mounted")
        return End.COMPARE

    async def look_inside(self) -> End | None:
        """The same without a batch, and seldom: whoever takes the set's lock ends the making of a version."""
        if time.monotonic() - self._looked_at < INSIDE_SECONDS:
            return None
        if not self._unsure_inside(records.load(self._name, self._store)):
            return None
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store):
            return self._inside(records.load(self._name, self._store))

    def _weighed(self, cost: Cost, record: Record) -> tuple[Stopped | None, int]:
        """Why a person has to look first, if so; and how many deletions count."""
        now, fileset = time.time(), self._copy.fileset
        deleted = sum(not self._copy.lately.came.has(path, now) for path in cost.gone)
        stopped = alarm(
            record.window,
            now,
            entries=record.entries or 0,
            deleted=deleted,
            rewritten=len(self._copy.lately.counting(cost.rewritten, now)),
            max_delete=fileset.max_delete,
            max_change=fileset.max_change,
        )
        return stopped, deleted

    def _change(self, **fields: Any) -> None:
        """Of the record as it is now: a promotion waits for nobody, and what it wrote meanwhile must stay."""
        record = records.load(self._name, self._store)
        if record.role != SOURCE:
            records.save(self._name, replace(record, **fields), self._store)

    def _stop(self, stopped: Stopped) -> None:
        told = {
            "outcome": "blocked",
            "reason": stopped.reason,
            "alarm": stopped.alarm.value,
            "alarm_reason": stopped.reason,
        }
        self._change(**told, held_back=stopped.held_back, allow_deletions=False, last_attempt_at=time.time())

    def _may(self, stop: threading.Event) -> Callable[[], None]:
        """Raises Taken as soon as the record says that this site is the original, and once nobody wants the batch any
        more. Cheap: it is asked for each file, and the record is a new file each time it is written."""
        place = os.fspath(self._store / f"{self._name}.json")
        seen = os.stat(place)  # noqa: PTH116  (twice for each file of a batch)

        def may() -> None:
            nonlocal seen
            if stop.is_set():
                raise Taken
            now = os.stat(place)  # noqa: PTH116
            if (now.st_ino, now.st_mtime_ns) != (seen.st_ino, seen.st_mtime_ns):
                if records.load(self._name, self._store).role == SOURCE:
                    raise Taken
                seen = now

        return may

    def _note(self, told: Mapping[str, Any], applied: Applied, deleted: int, rewritten: int, now: float) -> End | None:
        """What is durable now is in the record; nothing where somebody else has had the last word meanwhile."""
        record = records.load(self._name, self._store)
        if record.role == SOURCE:
            return End.PROMOTED
        if record.epoch != self.epoch:
            return End.AGAIN
        entries = max(1, (record.entries or 1) + len(applied.created) - applied.deleted)
        before = record.entries or 1
        window = counted(record.window, now, deleted=deleted, rewritten=rewritten, before=before, after=entries)
        record = replace(record, entries=entries, window=window)
        if applied.amiss:
            path, why = next(iter(applied.amiss.items()))
            reason = f"{len(applied.amiss)} paths could not be brought, the first {wire.text(path)!a}: {why}"
            records.save(self._name, replace(record, epoch=None, reason=reason), self._store)
            return End.COMPARE
        self.seq = told["seq"]
        if told["as_of"]:
            record = replace(record, complete_at=told["as_of"], confirmed_at=self.confirmed_at)
        record = replace(record, seq=self.seq, last_attempt_at=now)
        records.save(self._name, replace(record, outcome="complete", reason=None), self._store)
        return None
