"""At the source: tell a follower what changed, batch after batch, as docs/adr/0018-stream.md lays down.

The follower says which epoch of the journal it knows and up to which number everything is safe with it. Where the epoch
is another, it has missed something: it is told the present one, compares in full, and comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from secondsite.errors import FinalError, SecondsiteError
from secondsite.files.stream import wire
from secondsite.files.stream.beneath import Root, available
from secondsite.files.stream.collect import MOST_ENTRIES, Batch, Collector
from secondsite.files.stream.entry import Entry
from secondsite.files.stream.exclude import Excludes, understood
from secondsite.files.stream.pace import Pace, Waiting

WORD_SECONDS = 1.0  # between two words, so that silence is noticed
UNANSWERED = 4  # batches on their way; with more, it waits for the follower
ANSWER_SECONDS = 900.0  # a follower that has acknowledged nothing for so long is gone, whatever TCP says
READ_AHEAD = 4 * MOST_ENTRIES
LATER_SECONDS = 2.0  # for what could not be read
WAITING_NAMES = 200  # of what waits are named each second, for whoever has to tell a loss
WAITING_BYTES = 32_768
PATTERNS = 1_000
WRITTEN_BYTES = 1_000_000  # at once, and on their way to the kernel


class Dirtied(Protocol):
    """One entry of the journal."""

    @property
    def seq(self) -> int: ...
    @property
    def path(self) -> bytes: ...
    @property
    def first_at(self) -> float: ...
    @property
    def tree(self) -> bool: ...


class Journal(Protocol):
    """What the stream needs of files/watch/journal.py."""

    epoch: str
    last: int

    @property
    def pending(self) -> int: ...
    def after(self, seq: int, *, most: int) -> tuple[Dirtied, ...]: ...
    def acknowledge(self, epoch: str, seq: int) -> None: ...
    async def changed(self, seq: int, epoch: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Offered:
    """A set that is told. mount: the mount point it belongs to, where that is known. drained: every change before the
    unix moment it returns is in the journal. health: why watching fails now; None where it does not. missing: which
    file system inside it is not there now, in words for the other site; None where all are."""

    name: str
    folder: str
    journal: Journal
    drained: Callable[[], Awaitable[float]]
    mount: str | None = None
    health: Callable[[], str | None] = field(default=lambda: None)
    missing: Callable[[], str | None] = field(default=lambda: None)


def admitted(offered: Mapping[str, Offered], request: Mapping[str, Any]) -> Offered:
    """The set that is asked for. Raises FinalError: no such set, nothing is watched, not mounted, what it asks is not
    understood."""
    name = request.get("set")
    one = offered.get(name) if isinstance(name, str) else None
    if one is None:
        raise FinalError("there is no such file set here", slug="no-such-set")
    patterns = request.get("exclude", [])
    known = (
        request.get("version") == wire.VERSION
        and isinstance(request.get("epoch"), str | None)
        and isinstance(request.get("seq"), int)
        and isinstance(patterns, list)
        and len(patterns) <= PATTERNS
        and all(isinstance(each, str) for each in patterns)
    )
    if not known or not understood(patterns):
        raise FinalError("the other site asks for what this version does not understand", slug="files-stream-broken")
    _mounted(one)
    problem = one.health() or (None if available() else "openat2 is not allowed here")
    if problem is not None:
        raise FinalError(f"the changes of {one.name} are not seen here: {problem}", slug="files-not-watched")
    return one


def _mounted(one: Offered) -> None:
    """A file system that is not there must not look like an empty folder. Raises FinalError."""
    try:
        Path(one.folder).stat()
    except OSError as gone:
        told = f"{one.folder} cannot be opened: {gone.strerror}"
        raise FinalError(told, slug="source-not-mounted") from gone
    if one.mount is not None and not _is_on(one.folder, one.mount):
        raise FinalError(
            f"the source is not on its file system {one.mount}: not mounted?",
            slug="source-not-mounted",
            hint=f"mount {one.mount}",
        )
    missing = one.missing()
    if missing is not None:
        raise FinalError(missing, slug="source-not-mounted")


def _is_on(folder: str, mount: str) -> bool:
    here = os.path.realpath(folder)
    while not os.path.ismount(here):
        here = os.path.dirname(here)  # noqa: PTH120  (pathlib costs a word each second its share of a processor)
    return here == os.path.realpath(mount)


async def tell(offered: Mapping[str, Offered], request: Mapping[str, Any], line: socket.socket) -> None:
    """The door's handler ``changes``: until the follower goes, or may not be told any more."""
    reader, writer = await asyncio.open_connection(sock=line)
    try:
        try:
            await _tell(admitted(offered, request), request, reader, writer)
        except* SecondsiteError as refused:
            error = _first(refused)
            with contextlib.suppress(OSError):
                writer.write(wire.words(wire.REFUSED, error=error.slug, message=error.message))
                await writer.drain()
        except* (OSError, EOFError):
            pass  # the follower is gone, as followers go: it comes again
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _first(group: BaseExceptionGroup[SecondsiteError]) -> SecondsiteError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, SecondsiteError)
    return error


async def _tell(
    one: Offered, request: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    journal, epoch, seq = one.journal, request["epoch"], request["seq"]
    known = epoch == journal.epoch and 0 <= seq <= journal.last
    if known:
        journal.acknowledge(epoch, seq)
    drained = await one.drained()
    writer.write(
        wire.words(
            wire.HELLO, epoch=journal.epoch, seq=journal.last, as_of=drained, now=time.time(), reconcile=not known
        )
    )
    await writer.drain()
    if not known:
        return
    with Root(one.folder) as root:
        telling = _Telling(one, epoch, seq, Collector(root, Excludes(request.get("exclude", []))), root, writer)
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(telling.hear(reader))
            await telling.tell()
            hearing.cancel()


def pieces(frames: Sequence[bytes], size: int) -> Iterator[bytes]:
    """Pure: the frames in a row, some together: a write for each small file would be a packet for each."""
    gathered, total = list[bytes](), 0
    for one in frames:
        gathered.append(one)
        total += len(one)
        if total >= size:
            yield b"".join(gathered)
            gathered, total = [], 0
    if gathered:
        yield b"".join(gathered)


class _Telling:
    """One follower of one set."""

    def __init__(
        self, one: Offered, epoch: str, seq: int, collector: Collector, root: Root, writer: asyncio.StreamWriter
    ) -> None:
        self._one, self._epoch, self._collector, self._root, self._writer = one, epoch, collector, root, writer
        self._pace = Pace(seq)
        self._walking: tuple[Waiting, Iterator[Entry]] | None = None
        self._sent = self._answered = 0  # batches
        self._answer = asyncio.Event()
        self._answered_at = time.monotonic()
        self._word_at = 0.0
        self._as_of = 0.0
        self._unread: dict[bytes, str] = {}  # why what waits could not be read

    async def hear(self, reader: asyncio.StreamReader) -> None:
        """Acknowledgements, each of one batch. Raises EOFError, OSError, wire.Broken."""
        while True:
            kind, body = await wire.read_frame(reader)
            told = wire.told(body)
            seq, count = told.get("seq"), told.get("batch")
            if kind != wire.ACKNOWLEDGE or not isinstance(seq, int) or not isinstance(count, int):
                raise wire.Broken("this is no acknowledgement")
            if not self._answered <= count <= self._sent or not 0 <= seq <= self._pace.read:
                raise wire.Broken("what was never told is acknowledged")
            self._one.journal.acknowledge(self._epoch, seq)
            self._answered, self._answered_at = count, time.monotonic()
            self._answer.set()

    async def tell(self) -> None:
        """Until the journal has another epoch; the follower asks again then. Raises FinalError, OSError."""
        journal = self._one.journal
        while journal.epoch == self._epoch:
            self._check()
            self._note()
            if self._sent - self._answered >= UNANSWERED:
                await self._wait_for_answer()
                continue
            now = time.monotonic()
            due = self._pace.due(now, most=MOST_ENTRIES)
            if due or self._walking is not None:
                await self._batch(due)
            elif now - self._word_at >= WORD_SECONDS:
                await self._word()
            else:
                await self._pause(now)

    def _check(self) -> None:
        """That the folder is still the one that is open, on its file system, and watched."""
        _mounted(self._one)
        here, opened = Path(self._one.folder).stat(), os.fstat(self._root.handle)
        if (here.st_dev, here.st_ino) != (opened.st_dev, opened.st_ino):
            raise FinalError(f"{self._one.folder} is another folder now", slug="files-not-watched")
        problem = self._one.health()
        if problem is not None:
            raise FinalError(f"the changes of {self._one.name} are not seen: {problem}", slug="files-not-watched")

    def _note(self) -> None:
        """What is new in the journal, as long as there is room for it."""
        journal, now, clock = self._one.journal, time.monotonic(), time.time()
        while len(self._pace) < READ_AHEAD and self._pace.read < journal.last:
            found = journal.after(self._pace.read, most=MOST_ENTRIES)
            for one in found:
                self._pace.note(one.path, one.seq, one.first_at, tree=one.tree, now=now, clock=clock)
            if len(found) < MOST_ENTRIES:
                break

    async def _batch(self, due: list[Waiting]) -> None:
        """One batch, and what it says of how far everything is."""
        trees = [one for one in due if one.tree]
        plain = [one for one in due if not one.tree]
        if self._walking is None and trees:
            tree = trees[0]
            self._pace.walks(tree)
            self._walking = tree, self._collector.walk(tree.path, self._waits)
        walking = self._walking[1] if self._walking is not None else None
        drained = await self._drained()
        batch, left = await asyncio.to_thread(self._collector.batch, [one.path for one in plain], self._waits, walking)
        self._check()  # what was unmounted while it was looked at has looked empty
        self._done(plain, set(left), batch)
        if batch.frames:
            for piece in pieces(batch.frames, WRITTEN_BYTES):
                self._writer.write(piece)
                if self._writer.transport.get_write_buffer_size() > WRITTEN_BYTES:
                    await self._writer.drain()
            self._sent += 1
            await self._say(wire.COMMIT, drained, batch=self._sent, entries=len(batch.frames))
        else:
            await asyncio.sleep(0.01)

    def _waits(self, path: bytes) -> bool:
        return self._pace.get(path) is not None

    def _done(self, plain: list[Waiting], left: set[bytes], batch: Batch) -> None:
        """Cross off what is told; what could not be read, or not yet, waits on and holds the number back."""
        now = time.monotonic()
        postponed = set(batch.postponed)
        kept = left | postponed | batch.failed.keys()
        told = [one for one in plain if one.path not in kept]
        told += [one for path in batch.seen if (one := self._pace.get(path)) and not one.tree and path not in kept]
        self._pace.told(told, now=now, looked_at=batch.looked_at)
        gone = {one.path for one in told}
        still = {path: why for path, why in self._unread.items() if path not in gone and self._waits(path)}
        self._unread = dict(list((still | batch.failed).items())[:WAITING_NAMES])
        tree = self._walking[0] if self._walking is not None else None
        for path in postponed:
            if tree is not None and self._pace.get(path) is None:  # found by the walk: told under its number
                self._pace.note(path, tree.seq, tree.since, tree=False, now=now)
        late = dict.fromkeys(batch.failed, now + LATER_SECONDS) | dict.fromkeys(postponed, batch.links_at)
        for path, at in late.items():
            if (one := self._pace.get(path)) is not None and not one.tree:
                self._pace.later(one, at=at)
        if tree is None:
            return
        if (
            tree.path in postponed
        ):  # its walk has found nothing but this, and is at its end whether that was seen or not
            self._walking = None
            self._pace.is_file(tree, now=now, at=batch.links_at)
        elif batch.walked:
            self._walking = None
            self._pace.walked(tree, now=now)

    async def _drained(self) -> float | None:
        """Every change before this moment is noted here; None where the journal has more than there was room for."""
        drained = await self._one.drained()
        self._note()
        return drained if self._pace.read >= self._one.journal.last else None

    async def _word(self) -> None:
        """While nothing happens."""
        drained = await self._drained()
        if not self._pace.due(time.monotonic(), most=1):
            await self._say(wire.IDLE, drained)

    async def _say(self, kind: bytes, drained: float | None, **more: object) -> None:
        if drained is not None:
            self._as_of = self._pace.as_of(drained)
        journal = self._one.journal
        self._writer.write(
            wire.words(
                kind,
                seq=self._pace.floor,
                as_of=self._as_of,
                now=time.time(),
                pending=journal.pending,
                waiting=self._named(),
                unread=next((f"{wire.text(path)!a}: {why}" for path, why in self._unread.items()), None),
                **more,
            )
        )
        await self._writer.drain()
        self._word_at = time.monotonic()

    def _named(self) -> list[str]:
        """Some of what waits; what becomes of it is not known while it waits."""
        named, size = [], 0
        for path in self._pace.waiting(WAITING_NAMES):
            size += 6 * len(path)
            if size > WAITING_BYTES:
                break
            named.append(wire.text(path))
        return named

    async def _wait_for_answer(self) -> None:
        self._answer.clear()
        try:
            async with asyncio.timeout(WORD_SECONDS):
                await self._answer.wait()
        except TimeoutError:
            await self._say(wire.IDLE, await self._drained())
        if time.monotonic() - self._answered_at > ANSWER_SECONDS:
            raise OSError("the follower answers no more")

    async def _pause(self, now: float) -> None:
        """Until something new is dirty, something is due, or a word is."""
        next_at = self._pace.next_at()
        until = min(self._word_at + WORD_SECONDS, next_at if next_at is not None else float("inf"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, until - now)):
                if len(self._pace) < READ_AHEAD:
                    await self._one.journal.changed(self._pace.read, self._epoch)
                else:
                    await asyncio.Event().wait()
