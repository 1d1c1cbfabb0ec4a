"""At the standby: follow a set's source, batch after batch (docs/adr/0018-stream.md).

A batch is looked at before it is applied (what would it cost the copy?), applied, made durable, noted in the record,
and then acknowledged. Whoever is cut off asks again for what was not acknowledged; applying it twice does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.errors import RetryableError
from secondsite.files import store as records
from secondsite.files.state import Coming
from secondsite.files.store import STORE, Record, unfinished
from secondsite.files.stream import heard as hearsay
from secondsite.files.stream import wire
from secondsite.files.stream.apply import NoSpace, Taken
from secondsite.files.stream.copy import Copy
from secondsite.files.stream.heard import Heard
from secondsite.files.stream.said import hello, refusal, said
from secondsite.files.stream.take import End, Taking
from secondsite.files.versions.keep import keep_versions
from secondsite.spec import FileSet

SILENT_SECONDS = 10.0  # without a word, the source is gone
HEARD_SECONDS = 1.0  # how exactly that is counted
BATCH_SECONDS = 600.0  # for all of one batch to arrive
Call = Callable[[Mapping[str, Any]], Awaitable[socket.socket]]


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
        self._fileset, self._call, self._store = fileset, call, store
        self._copy = Copy(fileset, address, port, store)

    @property
    def busy(self) -> bool:
        """Whether a batch comes just now, or is applied."""
        return self._copy.busy

    @property
    def coming(self) -> Coming | None:
        """How far it has come, where something large is fetched just now."""
        return self._copy.coming

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
            following = _Following(self._copy, record, reader, writer)
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
                self._copy.busy = False
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


async def frame_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next. Raises EOFError, OSError, wire.Broken; FinalError with the source's own words where it ends."""
    kind, body = await wire.read_frame(reader)
    if kind == wire.REFUSED:
        raise refusal(wire.told(body))
    return kind, body


class _Following:
    """One connection."""

    def __init__(self, copy: Copy, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._copy, self._taking, self._reader, self._writer = copy, Taking(copy, record), reader, writer
        self._batches = 0
        self._heard_at = 0.0
        self.heard = False

    async def go(self) -> End:
        """Frame by frame. Raises as ``Follower.follow``, and NoSpace, Taken."""
        end = await self._taking.look_inside()
        while end is None:
            bodies, kind, body = await self._batch()
            told = said(wire.told(body), least=self._taking.seq)
            self._taking.confirmed_at = time.time() - (told["now"] - told["as_of"])
            end = self._taking.outdated()
            if end is not None:
                break
            if kind == wire.COMMIT:
                end = await self._take(bodies, told)
            elif kind == wire.IDLE and not bodies:
                end = await self._taking.look_inside()
                if end is None:
                    await self._idle(told)
            else:
                raise wire.Broken("it says what this version does not understand")
            if end is None:  # between batches: whoever takes the set's lock ends the making of a version
                copy = self._copy
                await keep_versions(copy.fileset, copy.store, time.time(), complete_at=told["as_of"])
        return end

    async def _take(self, bodies: list[bytes], told: Mapping[str, Any]) -> End | None:
        if told["entries"] != len(bodies) or told["batch"] != self._batches + 1:
            raise wire.Broken("a batch that is not what it says")
        self._batches += 1
        try:
            end = await self._taking.take(bodies, told)
            if end is None:
                await self._acknowledge(told)
                self._hear(told, time.time())
        finally:
            self._copy.busy = False
        return end

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
                self._copy.busy = True
                size += len(body)
                rest = await self._copy.paced.rest(len(body))  # the source waits where nobody reads
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

    async def _acknowledge(self, told: Mapping[str, Any]) -> None:
        self._writer.write(wire.words(wire.ACKNOWLEDGE, batch=self._batches, seq=told["seq"]))
        await self._writer.drain()

    async def _idle(self, told: Mapping[str, Any]) -> None:
        """Nothing is on its way. A number that grew without a batch belonged to what is no part of the set."""
        now = time.time()
        if told["pending"] == 0:
            self._copy.sizes.rest(time.monotonic(), records.load(self._copy.name, self._copy.store).entries or 0)
        if abs(now - self._heard_at) < 0.2:
            return
        if told["seq"] > self._taking.seq:
            await self._taking.skip(told, now)
            await self._acknowledge(told)
        self._hear(told, now)

    def _hear(self, told: Mapping[str, Any], now: float) -> None:
        self._heard_at = now
        files, size = self._copy.rates()
        heard = Heard(
            self._taking.epoch,
            now,
            told["now"],
            told["as_of"],
            told["pending"],
            told["waiting"],
            round(files, 1),
            round(size),
            told["unread"],
        )
        hearsay.save(self._copy.name, heard, self._copy.store)
        self.heard = True
