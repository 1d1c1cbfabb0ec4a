"""At the standby: follow a set's source, batch after batch (docs/adr/0018-stream.md).

A batch is looked at before it is applied (what would it cost the copy?), applied, made durable, noted in the record,
and then acknowledged. Whoever is cut off asks again for what was not acknowledged; applying it twice does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.files import lately
from secondsite.files import store as records
from secondsite.files.bandwidth import Paced, Watched
from secondsite.files.budget import Alarm, Stopped, alarm, counted
from secondsite.files.durable import sync_file_systems
from secondsite.files.inner import Inside, look
from secondsite.files.rsync.fetch import Fetched, fetch
from secondsite.files.store import SOURCE, STORE, Held, Record, locked, mount_of, unfinished
from secondsite.files.stream import heard as hearsay
from secondsite.files.stream import wire
from secondsite.files.stream.apply import Applied, Applying, NoSpace, Taken
from secondsite.files.stream.beneath import Root
from secondsite.files.stream.entry import Entry
from secondsite.files.stream.exclude import Excludes
from secondsite.files.stream.heard import Heard
from secondsite.files.stream.said import hello, refusal, said
from secondsite.files.stream.sizes import Sizes
from secondsite.files.stream.thread import in_thread, stoppable
from secondsite.files.stream.weigh import Cost, Weighing
from secondsite.files.versions.keep import keep_versions
from secondsite.files.watch.place import inside
from secondsite.spec import FileSet

SILENT_SECONDS = 10.0  # without a word, the source is gone
HEARD_SECONDS = 1.0  # how exactly that is counted
BATCH_SECONDS = 600.0  # for all of one batch to arrive
LOCK_SECONDS = 5.0
INSIDE_SECONDS = 1.0  # between two looks at what is mounted inside the copy, where nothing comes
RATE_SECONDS = 10.0
SHRINKS = "much of what came within the hour is gone again: it is compared in full"
EMPTIED = "all that is here has gone at the source, or was renamed: it is compared in full"
REMOUNTED = "what is mounted inside the copy has changed: it is compared in full"
Call = Callable[[Mapping[str, Any]], Awaitable[socket.socket]]


class End(StrEnum):
    """Why a follower stopped, where nothing has failed."""

    COMPARE = "compare"  # something was missed, or could not be brought: a full comparison first
    AGAIN = "again"  # what was on its way is too old, or the journal is another: ask again
    STOPPED = "stopped"  # a person has to look; the record says why
    PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the source's journal is. at: unix seconds by the source's clock."""

    epoch: str
    seq: int
    at: float


class Follower:
    """Follows one set, connection after connection. call: opens one to the source's door."""

    def __init__(self, fileset: FileSet, address: str, port: int, call: Call, *, store: Path = STORE) -> None:
        """address, port: of the source's file daemon, for what is too large to travel in a batch."""
        self._fileset, self._address, self._port, self._call, self._store = fileset, address, port, call, store
        self._excludes = Excludes(fileset.patterns)
        self.lately = lately.of(fileset.name, store)
        self._limit = Watched(fileset, store)
        self.paced = Paced(self._limit)
        self._mounts: tuple[float | None, Inside] | None = None  # since which full comparison, what is mounted inside
        self._done: deque[tuple[float, int, int]] = deque()  # moment, paths, bytes
        self.sizes = Sizes()
        self.busy = False  # a batch comes, or is applied, or rsync fetches for it

    async def mark(self) -> Mark:
        """Where the journal is now: a full comparison that begins after this misses nothing before it.

        Raises SecondsiteError where the source does not tell changes.
        """
        async with self._connected(None, 0) as (_, _, now):
            return Mark(str(now["epoch"]), int(now["seq"]), float(now["now"]))

    async def follow(self) -> End:
        """Until there is a reason to stop. Raises SecondsiteError: the connection is lost, or refused."""
        record = records.load(self._fileset.name, self._store)
        if record.epoch is None or unfinished(self._fileset.name, self._store):
            return End.COMPARE
        async with self._connected(record.epoch, record.seq) as (reader, writer, now):
            if now["reconcile"]:
                return End.COMPARE
            following = _Following(self, record, reader, writer)
            try:
                return await following.go()
            except NoSpace as full:
                raise RetryableError(
                    f"no space is left for {self._fileset.name}: what is new waits at the source: {full}",
                    slug="files-no-space",
                    hint=f"df {self._fileset.path}",
                ) from full
            except Taken:
                return End.PROMOTED
            finally:
                self.busy = False
                if following.heard:
                    with contextlib.suppress(
                        OSError
                    ):  # until a boot it is known all the same, and why this ends counts
                        hearsay.keep(self._fileset.name, self._store)

    @contextlib.asynccontextmanager
    async def _connected(self, epoch: str | None, seq: int) -> Any:
        """(reader, writer, hello). Raises SecondsiteError."""
        request = {
            "do": "changes",
            "version": wire.VERSION,
            "set": self._fileset.name,
            "epoch": epoch,
            "seq": seq,
            "exclude": list(self._fileset.patterns),
        }
        line = await self._call(request)
        reader, writer = await asyncio.open_connection(sock=line, limit=1 << 20)
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                kind, body = await frame_of(reader)
            if kind != wire.HELLO:
                raise wire.Broken("it does not begin with where it is")
            yield reader, writer, hello(wire.told(body))
        except (OSError, EOFError, TimeoutError) as lost:
            raise RetryableError(
                f"the changes of {self._fileset.name} come no more: {str(lost) or 'no word for long'}",
                slug="files-stream-lost",
            ) from lost
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # What is remembered from one connection to the next

    def amiss_inside(self, record: Record) -> Inside | None:
        """What is mounted inside the copy, where one is missing or another one than when all was compared last; None
        where all are as they were. Raises OSError."""
        found = look(Path(self._fileset.path), record.inner)
        if found.mounts:
            folder = os.path.realpath(os.fsencode(self._fileset.path))
            left_out = {one for one in found.mounts if self._excluded(inside(one[0], folder) or b"")}
            found = replace(found, mounts=tuple(one for one in found.mounts if one not in left_out))
        if self._mounts is None or self._mounts[0] != record.last_reconcile_at:
            self._mounts = record.last_reconcile_at, found
        return None if found.missing is None and found == self._mounts[1] else found

    def _excluded(self, folder: bytes) -> bool:
        return self._excludes.excluded(folder, folder=True)

    def did(self, paths: int, size: int) -> None:
        """For the rates."""
        self._done.append((time.monotonic(), paths, size))

    def rates(self) -> tuple[float, float]:
        """Paths and bytes a second over the last seconds."""
        edge = time.monotonic() - RATE_SECONDS
        while self._done and self._done[0][0] < edge:
            self._done.popleft()
        return sum(one[1] for one in self._done) / RATE_SECONDS, sum(one[2] for one in self._done) / RATE_SECONDS

    @property
    def fileset(self) -> FileSet:
        return self._fileset

    @property
    def store(self) -> Path:
        return self._store

    @property
    def excludes(self) -> Excludes:
        return self._excludes

    async def fetched(self, entries: list[Entry], held: Held) -> Fetched:
        """Have rsync bring what is too large. Raises RetryableError, NoSpace."""
        return await fetch(self._fileset, self._address, self._port, entries, held, self._limit)


async def frame_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next. Raises EOFError, OSError, wire.Broken; FinalError with the source's own words where it ends."""
    kind, body = await wire.read_frame(reader)
    if kind == wire.REFUSED:
        raise refusal(wire.told(body))
    return kind, body


class _Following:
    """One connection."""

    def __init__(
        self, follower: Follower, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._its, self._name, self._store = follower, follower.fileset.name, follower.store
        self._reader, self._writer = reader, writer
        assert record.epoch is not None
        self._epoch, self._seq, self._pulls = record.epoch, record.seq, record.pulls
        self._batches = 0
        self._heard_at = 0.0
        self.heard = False
        self._looked_at = -INSIDE_SECONDS
        self._confirmed_at = 0.0  # what the source has told last was complete, by this host's clock

    async def go(self) -> End:
        """Frame by frame. Raises as ``Follower.follow``, and NoSpace, Taken."""
        end = await self._idle_inside()
        if end is not None:
            return end
        while True:
            bodies, kind, body = await self._batch()
            told = said(wire.told(body), least=self._seq)
            self._confirmed_at = time.time() - (told["now"] - told["as_of"])
            end = self._outdated()
            if end is not None:
                return end
            if kind == wire.COMMIT:
                if told["entries"] != len(bodies) or told["batch"] != self._batches + 1:
                    raise wire.Broken("a batch that is not what it says")
                self._batches += 1
                try:
                    end = await self._apply(bodies, told)
                finally:
                    self._its.busy = False
                if end is not None:
                    return end
            elif kind == wire.IDLE and not bodies:
                end = await self._idle_inside()
                if end is not None:
                    return end
                await self._idle(told)
            else:
                raise wire.Broken("it says what this version does not understand")
            # Between batches and not beside them: whoever takes the set's lock ends the making of a version.
            await keep_versions(self._its.fileset, self._store, time.time(), complete_at=told["as_of"])

    async def _batch(self) -> tuple[list[bytes], bytes, bytes]:
        """Entries up to whatever else is said. Raises wire.Broken where there is no end to them."""
        bodies, size, began = list[bytes](), 0, time.monotonic()
        heard, rested = began, 0.0
        async with asyncio.timeout(SILENT_SECONDS) as silence:
            while True:
                kind, body = await frame_of(self._reader)
                if kind != wire.ENTRY:
                    return bodies, kind, body
                bodies.append(body)
                self._its.busy = True
                size += len(body)
                rest = await self._its.paced.rest(len(body))  # the source waits where nobody reads
                rested += rest
                now = time.monotonic()
                late = now - began - rested > BATCH_SECONDS
                if len(bodies) > wire.BATCH_ENTRIES or size > wire.BATCH_BYTES or late:
                    raise wire.Broken("a batch without an end")
                if now - heard > HEARD_SECONDS:  # not for each: there may be thousands in a second
                    heard = now
                    silence.reschedule(asyncio.get_running_loop().time() + SILENT_SECONDS)
                if len(bodies) % 64 == 0:
                    await asyncio.sleep(0)  # what has arrived already is read without a pause otherwise

    def _outdated(self) -> End | None:
        """Whether this connection's batches may still be applied. A pull that came between has brought what is newer
        than a batch that was looked at before it."""
        record = records.load(self._name, self._store)
        if record.role == SOURCE:
            return End.PROMOTED
        if record.alarm is not None:
            return End.STOPPED
        return End.AGAIN if (record.pulls, record.epoch) != (self._pulls, self._epoch) else None

    async def _apply(self, bodies: list[bytes], told: Mapping[str, Any]) -> End | None:
        fileset = self._its.fileset
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store) as held:
            stop = threading.Event()
            may = self._may(stop)  # before the record is looked at: whoever promotes from here on is seen
            end = self._outdated()
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
                weighing = Weighing(root, batch, self._its.excludes)
                cost = await in_thread(weighing.cost)
                stopped, deleted = self._weighed(cost, record)
                if stopped is not None:  # the record's number may have strayed, and nobody is to be called for that
                    record = replace(record, entries=await in_thread(weighing.entries))
                    stopped, deleted = self._weighed(cost, record)
                    self._change(entries=record.entries)
                if stopped is not None and stopped.alarm is Alarm.DELETIONS:
                    self._change(epoch=None, reason=stopped.reason)  # or renamed, or made a moment ago: a pull knows
                    return End.COMPARE
                if stopped is not None:
                    self._stop(stopped)
                    return End.STOPPED
                after = (record.entries or 0) - len(cost.gone) + cost.created
                falls = self._its.sizes.fall(time.monotonic(), record.entries or 0, after, fileset.max_delete)
                if falls and len(cost.gone) > deleted:
                    self._change(epoch=None, reason=SHRINKS)  # or it was renamed: a full comparison knows
                    return End.COMPARE
                if cost.empties and deleted:  # or all that it holds was renamed: a full comparison knows
                    self._change(epoch=None, reason=EMPTIED)
                    return End.COMPARE
                fresh, applying = held.begin(), Applying(weighing, may)
                try:
                    got = await self._carry_out(applying, held, stop)
                except (SecondsiteError, NoSpace, OSError):
                    await self._count_half(Weighing(root, batch, self._its.excludes), cost)
                    raise
                applied = applying.applied
                if fresh:
                    held.done()
        await sync_file_systems(Path(fileset.path), fileset.patterns)
        now = time.time()
        self._its.lately.came.add(applied.created, now)
        self._its.did(len(batch), applied.written + sum(one.size for one in applied.fetch))
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store):
            rewritten = len(self._its.lately.counting(cost.rewritten, now))
            end = self._note(told, applied, deleted, rewritten + got.rewritten, now)
            self._its.lately.rewritten.add(cost.rewritten, now)
        if end is None:
            await self._acknowledge(told)
            self._hear(told, now)
        return end

    async def _carry_out(self, applying: Applying, held: Held, stop: threading.Event) -> Fetched:
        """What ``weighed`` allowed. Raises NoSpace, Taken, OSError, RetryableError."""
        applied = await stoppable(applying.carry_out, stop.set)
        got = await self._its.fetched(applied.fetch, held) if applied.fetch else Fetched({})
        applied.amiss |= got.amiss
        await stoppable(applying.finish, stop.set)
        siblings = await stoppable(applying.siblings, stop.set)
        if siblings:
            applied.amiss |= (await self._its.fetched(siblings, held)).amiss
        return got

    async def _count_half(self, left: Weighing, cost: Cost) -> None:
        """A batch that ended half-way counts with what it has done: a source may see to it that none ever ends."""
        now = time.time()
        still = await in_thread(left.cost)
        gone = set(cost.gone) - set(still.gone)
        deleted = sum(not self._its.lately.came.has(path, now) for path in gone)
        window = records.load(self._name, self._store).window
        done = set(cost.rewritten) - set(still.rewritten)
        rewritten = len(self._its.lately.counting(done, now))
        self._change(window=counted(window, now, deleted=deleted, rewritten=rewritten))
        self._its.lately.rewritten.add(done, now)

    def _unsure_inside(self, record: Record) -> bool:
        """Whether a file system inside the copy is not mounted, or another one than when all was compared."""
        self._looked_at = time.monotonic()
        return self._its.amiss_inside(record) is not None

    def _inside(self, record: Record) -> End | None:
        """Under the set's lock: then all is compared, as soon as it is there. Raises FinalError
        (``source-not-mounted``)."""
        found = self._its.amiss_inside(record)
        if found is None:
            return None
        self._change(epoch=None, reason=found.missing or REMOUNTED)
        if found.missing is not None:
            raise FinalError(found.missing, slug="source-not-mounted")
        return End.COMPARE

    async def _idle_inside(self) -> End | None:
        """The same without a batch, and seldom: whoever takes the set's lock ends the making of a version."""
        if time.monotonic() - self._looked_at < INSIDE_SECONDS:
            return None
        if not self._unsure_inside(records.load(self._name, self._store)):
            return None
        async with locked(self._name, seconds=LOCK_SECONDS, store=self._store):
            return self._inside(records.load(self._name, self._store))

    def _weighed(self, cost: Cost, record: Record) -> tuple[Stopped | None, int]:
        """Why a person has to look first, if so; and how many deletions count."""
        now, fileset = time.time(), self._its.fileset
        deleted = sum(not self._its.lately.came.has(path, now) for path in cost.gone)
        stopped = alarm(
            record.window,
            now,
            entries=record.entries or 0,
            deleted=deleted,
            rewritten=len(self._its.lately.counting(cost.rewritten, now)),
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
        told = {"outcome": "blocked", "reason": stopped.reason, "alarm": stopped.alarm.value}
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
        if record.epoch != self._epoch:
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
        self._seq = told["seq"]
        if told["as_of"]:
            record = replace(record, complete_at=told["as_of"], confirmed_at=self._confirmed_at)
        record = replace(record, seq=self._seq, last_attempt_at=now)
        records.save(self._name, replace(record, outcome="complete", reason=None), self._store)
        return None

    async def _acknowledge(self, told: Mapping[str, Any]) -> None:
        self._writer.write(wire.words(wire.ACKNOWLEDGE, batch=self._batches, seq=told["seq"]))
        await self._writer.drain()

    async def _idle(self, told: Mapping[str, Any]) -> None:
        """Nothing is on its way. A number that grew without a batch belonged to what is no part of the set."""
        now = time.time()
        if told["pending"] == 0:
            self._its.sizes.rest(time.monotonic(), records.load(self._name, self._store).entries or 0)
        if abs(now - self._heard_at) < 0.2:
            return
        if told["seq"] > self._seq:
            async with locked(self._name, seconds=LOCK_SECONDS, store=self._store):
                self._note(told, Applied(), 0, 0, now)
            await self._acknowledge(told)
        self._hear(told, now)

    def _hear(self, told: Mapping[str, Any], now: float) -> None:
        self._heard_at = now
        files, size = self._its.rates()
        heard = Heard(
            self._epoch,
            now,
            told["now"],
            told["as_of"],
            told["pending"],
            told["waiting"],
            round(files, 1),
            round(size),
            told["unread"],
        )
        hearsay.save(self._name, heard, self._store)
        self.heard = True
