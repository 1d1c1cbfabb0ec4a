"""How fast a set may come: the file's limit, or the one that a person has set since at this host.

It stands in a file of its own and not in the set's record: that one is written back whole by whoever works under the
set's lock, and a limit is changed while somebody does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.errors import FinalError, UsageError
from secondsite.files.store import STORE
from secondsite.spec import FileSet
from secondsite.spec.quantities import parse_rate

UNLIMITED, FILE = "unlimited", "file"
LEAST = 1000
LOOK_SECONDS = 0.5  # between looks at whether it was changed
AHEAD_SECONDS = 0.05  # what comes so much too early is not worth a rest


@dataclass(frozen=True, slots=True)
class Limit:
    """bytes_per_second: None for no limit. by: ``file``, or ``command`` where a person has set it since."""

    bytes_per_second: int | None
    by: str


def limit_of(fileset: FileSet, store: Path = STORE) -> Limit:
    """What holds now. What was set and cannot be read is as good as not set."""
    try:
        told = json.loads(_place(fileset, store).read_text())["bytes_per_second"]
    except (OSError, ValueError, TypeError, KeyError):
        return Limit(fileset.bandwidth, "file")
    if told is None or (type(told) is int and told > 0):
        return Limit(told, "command")
    return Limit(fileset.bandwidth, "file")


def read(text: str) -> int | None:
    """Bytes a second, None for ``unlimited``. Raises UsageError (``no-such-rate``)."""
    if text == UNLIMITED:
        return None
    try:
        rate = parse_rate(text)
        assert isinstance(rate, int)
        if rate >= LEAST:
            return rate
        why = f'"{text}" is less than 1kB/s, with which no file would ever be complete'
    except ValueError as wrong:
        why = str(wrong)
    raise UsageError(why, slug="no-such-rate", hint='a rate like "5MB/s", or "unlimited", or "file"')


def change(fileset: FileSet, text: str, store: Path = STORE) -> Limit:
    """As a person says it. Raises UsageError (``no-such-rate``), FinalError (``cannot-write``)."""
    try:
        return as_in_file(fileset, store) if text == FILE else set_limit(fileset, read(text), store)
    except OSError as failed:
        raise FinalError(
            f"the limit of {fileset.name} could not be written: {failed}",
            slug="cannot-write",
            hint=f"df {store}",
        ) from failed


def set_limit(fileset: FileSet, bytes_per_second: int | None, store: Path = STORE) -> Limit:
    """From now on, whatever the file says; None for no limit. Raises OSError."""
    store.mkdir(parents=True, exist_ok=True)
    atomically(_place(fileset, store), json.dumps({"bytes_per_second": bytes_per_second}).encode(), mode=0o600)
    return limit_of(fileset, store)


def as_in_file(fileset: FileSet, store: Path = STORE) -> Limit:
    """The file's holds again. Raises OSError."""
    _place(fileset, store).unlink(missing_ok=True)
    return limit_of(fileset, store)


def _place(fileset: FileSet, store: Path) -> Path:
    return store / f"{fileset.name}.bandwidth"


class Watched:
    """The limit as it is now, looked at no more often than that makes a difference."""

    def __init__(self, fileset: FileSet, store: Path, given: int | None = None) -> None:
        """given: bytes a second that hold whatever is set."""
        self._fileset, self._store, self._given = fileset, store, given
        self._looked_at, self._known = float("-inf"), given

    def __call__(self) -> int | None:
        now = time.monotonic()
        if self._given is None and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at, self._known = now, limit_of(self._fileset, self._store).bytes_per_second
        return self._known

    def begin(self) -> tuple[int | None, Callable[[], bool]]:
        """The limit for a program that cannot change its own, and what says whether it is another by now."""
        begun = self()
        return begun, lambda: self() != begun


class Paced:
    """Rests between pieces, so that no more comes than the limit of that moment lets through."""

    def __init__(self, limit: Callable[[], int | None]) -> None:
        self._limit = limit
        self._early, self._at = 0.0, time.monotonic()  # bytes that came ahead of the limit

    async def rest(self, size: int) -> float:
        """Behind a piece of so many bytes: how many seconds it rested."""
        began = time.monotonic()
        self._passed(began)
        self._early += size
        while (rate := self._limit()) is not None and self._early > rate * AHEAD_SECONDS:
            await asyncio.sleep(min(LOOK_SECONDS, self._early / rate))
            self._passed(time.monotonic())
        return time.monotonic() - began

    def _passed(self, now: float) -> None:
        rate = self._limit()
        self._early = 0.0 if rate is None else max(0.0, self._early - rate * (now - self._at))
        self._at = now
