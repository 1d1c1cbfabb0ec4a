"""At the standby: one copy, and what is remembered of it from one connection to the next."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from secondsite.files import lately
from secondsite.files.bandwidth import Paced, Watched
from secondsite.files.inner import Inside, look
from secondsite.files.rsync.fetch import Rewriting, fetch
from secondsite.files.state import Coming
from secondsite.files.store import STORE, Held, Record
from secondsite.files.stream.entry import Entry
from secondsite.files.stream.exclude import Excludes
from secondsite.files.stream.sizes import Sizes
from secondsite.files.watch.place import inside
from secondsite.spec import FileSet

RATE_SECONDS = 10.0


class Copy:
    """A set's copy here. sizes: how large it was lately. busy: a batch comes, or is applied, or fetched for."""

    def __init__(self, fileset: FileSet, address: str, port: int, store: Path = STORE) -> None:
        """address, port: of the source's file daemon, for what is too large to travel in a batch."""
        self.fileset, self.name, self.store, self._address, self._port = fileset, fileset.name, store, address, port
        self.excludes = Excludes(fileset.patterns)
        self.lately = lately.of(fileset.name, store)
        self._limit = Watched(fileset, store)
        self.paced = Paced(self._limit)
        self.sizes = Sizes()
        self.busy = False
        self.coming: Coming | None = None  # how far the fetching has come
        self._mounts: tuple[float | None, Inside] | None = None  # since which full comparison, what is mounted inside
        self._done: deque[tuple[float, int, int]] = deque()  # moment, paths, bytes

    def amiss_inside(self, record: Record) -> Inside | None:
        """What is mounted inside the copy, where one is missing or another one than when all was compared last; None
        where all are as they were. Raises OSError."""
        found = look(Path(self.fileset.path), record.inner)
        if found.mounts:
            folder = os.path.realpath(os.fsencode(self.fileset.path))
            left_out = {one for one in found.mounts if self._excluded(inside(one[0], folder) or b"")}
            found = replace(found, mounts=tuple(one for one in found.mounts if one not in left_out))
        if self._mounts is None or self._mounts[0] != record.last_reconcile_at:
            self._mounts = record.last_reconcile_at, found
        return None if found.missing is None and found == self._mounts[1] else found

    def _excluded(self, folder: bytes) -> bool:
        return self.excludes.excluded(folder, folder=True)

    def did(self, paths: int, size: int) -> None:
        """For the rates."""
        self._done.append((time.monotonic(), paths, size))

    def rates(self) -> tuple[float, float]:
        """Paths and bytes a second over the last seconds."""
        edge = time.monotonic() - RATE_SECONDS
        while self._done and self._done[0][0] < edge:
            self._done.popleft()
        return sum(one[1] for one in self._done) / RATE_SECONDS, sum(one[2] for one in self._done) / RATE_SECONDS

    async def fetched(
        self, entries: list[Entry], held: Held, rewriting: Rewriting, may: Callable[[], None]
    ) -> dict[bytes, str]:
        """Have rsync bring what is too large; what could not be. Raises RetryableError, NoSpace, Taken."""
        try:
            return await fetch(
                self.fileset,
                self._address,
                self._port,
                entries,
                held,
                self._limit,
                rewriting,
                may,
                self._watch,
                self.store,
            )
        finally:
            self.coming = None

    def _watch(self, done: int, total: int | None, rate: float, left: float) -> None:
        self.coming = Coming(done, total, rate, left)
