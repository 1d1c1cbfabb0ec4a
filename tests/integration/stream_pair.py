"""A source that watches a set and tells its changes, and a standby that follows it: real ends, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from churn.trees import differences
from secondsite.clock import Clock
from secondsite.files import store as records
from secondsite.files.keeper import Keeper
from secondsite.files.offer.door import serve
from secondsite.files.rsync.stuck import LOOK_SECONDS, Stuck
from secondsite.files.watch.handlers import Source, handlers
from secondsite.files.watch.watched import WatchedSet
from secondsite.files.watch.watcher import Watcher
from secondsite.spec import Tunnel
from tests.integration.database_clusters import free_port, specification
from tests.integration.file_daemon import ADDRESS, Mirror

TOKEN = b"both sites know this"


@dataclass(slots=True)
class Pair:
    """Both ends. standby: whether the keeper may pull and follow."""

    mirror: Mirror
    keeper: Keeper
    door_port: int
    journals: Path
    told: list[str] = field(default_factory=list)
    standby: bool = True

    @property
    def source(self) -> Path:
        return self.mirror.source

    @property
    def target(self) -> Path:
        return self.mirror.target

    @property
    def record(self) -> records.Record:
        return records.load("uploads", self.mirror.store)

    def differences(self) -> dict[bytes, tuple[object, object]]:
        """By path: what the source has and what is here, where that is not the same in every attribute."""
        try:
            return dict(differences(self.source, self.target))
        except (FileNotFoundError, NotADirectoryError) as moving:
            return {b"": (moving, moving)}

    async def until(self, seen: Callable[[], bool], seconds: float = 30.0) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not seen():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_followed(self) -> None:
        """The first complete comparison is over, and the source's word was heard."""
        try:
            await self.until(lambda: self.keeper.states()[0].kept == "stream")
        except TimeoutError:
            raise AssertionError(self.keeper.states(), self.record, self.told) from None

    async def until_equal(self, seconds: float = 30.0) -> None:
        """Both trees are the same; else what differs is told."""
        try:
            await self.until(lambda: not self.differences(), seconds)
        except TimeoutError:
            raise AssertionError(self.keeper.states(), dict(list(self.differences().items())[:5])) from None

    @contextlib.asynccontextmanager
    async def telling(self) -> AsyncIterator[Watcher]:
        """The source's process, which may end at any moment."""
        source = WatchedSet("uploads", bytes(self.source), None, tuple(map(os.fsencode, self.mirror.inner)))
        watcher = Watcher([source], self.journals)
        own = Source({"uploads": source}, watcher)
        async with running(watcher.run()), running(self._unstick()):
            await self.until(lambda: watcher.health("uploads").watching)
            door = serve(ADDRESS, self.door_port, lambda: TOKEN, handlers(own), tell=self.told.append)
            async with running(door):
                yield watcher

    async def _unstick(self) -> None:
        """What the source's agent does besides."""
        stuck = Stuck(self.mirror.daemon)
        while True:
            await stuck.look()
            await asyncio.sleep(LOOK_SECONDS)

    def keeping(self) -> contextlib.AbstractAsyncContextManager[None]:
        """The standby's agent."""
        return running(self.keeper.keep(lambda: self.standby, lambda: False))


def pair(mirror: Mirror, base: Path, *, clock: Clock | None = None, **settings: object) -> Pair:
    """Ends for a set whose daemon runs. clock: the standby's."""
    mirror.fileset = mirror.fileset.model_copy(update={"interval": 0.3, **settings})
    spec, door = specification(1), free_port()
    tunnel = Tunnel.model_validate({"network": "127.0.0.0/24", "files_port": mirror.port, "watch_port": door})
    spec = spec.model_copy(update={"files": (mirror.fileset,), "tunnel": tunnel})
    token = base / "token"
    token.write_bytes(TOKEN)
    (base / "journals").mkdir(exist_ok=True)
    keeper = Keeper(spec, "bergen", store=mirror.store, clock=clock, token=token)
    return Pair(mirror, keeper, door, base / "journals")


@contextlib.asynccontextmanager
async def running(work: object) -> AsyncIterator[None]:
    """In the background until the end of the block; what it dies of is raised."""
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
