"""The journal: what a procedure meant to do and what came of it, so that a dead procedure can be taken up again.

One file a procedure, one JSON record a line. Every record carries the SHA-256 of itself and of the record before
it, so a change, a gap or a missing tail shows. A record counts once it is on the disk: ``sync`` before acting.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.errors import FinalError

GENESIS = "0" * 64


class Kind(StrEnum):
    """What a record is about."""

    OPENED = "opened"  # procedure, arguments, step names
    RESUMED = "resumed"
    INTENT = "intent"  # a step is about to act
    RESULT = "result"  # a step was observed to have worked, or failed
    UNDONE = "undone"
    CLOSED = "closed"  # the outcome
    SUPERSEDED = "superseded"  # the world has gone on without it: never taken up again


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal. at: RFC 3339."""

    seq: int
    at: str
    kind: Kind
    body: Mapping[str, Any]
    prev: str
    hash: str

    def line(self) -> bytes:
        return (json.dumps({**_content(self), "hash": self.hash}, sort_keys=True) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What could be read and proven of a journal file. torn: bytes behind the last proven record."""

    records: tuple[Record, ...]
    torn: bytes


def read(path: Path) -> Recovered:
    """Every record up to the first that is incomplete, altered or out of sequence; never raises on bad content."""
    raw = path.read_bytes()
    records: list[Record] = []
    prev, offset = GENESIS, 0
    while (end := raw.find(b"\n", offset)) >= 0:
        record = _parse(raw[offset:end], len(records), prev)
        if record is None:
            break
        records.append(record)
        prev, offset = record.hash, end + 1
    return Recovered(tuple(records), raw[offset:])


class Journal:
    """An open journal. Appending is immediate; ``sync`` makes everything appended so far durable."""

    def __init__(self, path: Path, clock: Clock, records: tuple[Record, ...] = ()) -> None:
        self.path = path
        self._clock = clock
        self.records = list(records)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._synced = len(records)
        self._sync_lock = asyncio.Lock()

    @classmethod
    def create(cls, directory: Path, procedure_id: str, clock: Clock) -> Journal:
        """A new journal; the directory entry is durable too, so the file survives a crash right after."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        journal = cls(directory / f"{procedure_id}.jsonl", clock)
        entry = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
        return journal

    @classmethod
    def reopen(cls, path: Path, clock: Clock) -> Journal:
        """Take up an existing journal. A torn tail is kept beside it (``.torn-N``, behind N records) and cut off."""
        recovered = read(path)
        if recovered.torn:
            _free_name(path, len(recovered.records)).write_bytes(recovered.torn)
            os.truncate(path, sum(len(record.line()) for record in recovered.records))
        return cls(path, clock, recovered.records)

    def append(self, kind: Kind, body: Mapping[str, Any]) -> Record:
        """Write a record (durable only after ``sync``)."""
        prev = self.records[-1].hash if self.records else GENESIS
        draft = Record(len(self.records), to_text(self._clock.now()), kind, json.loads(_dump(body)), prev, "")
        record = Record(draft.seq, draft.at, draft.kind, draft.body, prev, _digest(draft))
        line = record.line()
        before = os.fstat(self._file).st_size
        if os.write(self._file, line) != len(line):
            os.ftruncate(self._file, before)  # half a record would hide all that follow it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.records.append(record)
        return record

    async def sync(self) -> None:
        """Return once everything appended before the call is on the disk; calls at the same time share one fsync."""
        wanted = len(self.records)
        async with self._sync_lock:
            if self._synced >= wanted:
                return
            covered = len(self.records)
            await asyncio.to_thread(os.fdatasync, self._file)
            self._synced = covered

    def close(self) -> None:
        """Never raises: what could not be written was told when it was written, and what was done counts."""
        with contextlib.suppress(OSError):
            os.fdatasync(self._file)
        with contextlib.suppress(OSError):
            os.close(self._file)


class Unwritable(Journal):
    """A journal that cannot even be opened for writing, of a procedure that must go on: its records can be read."""

    def __init__(self, path: Path, clock: Clock, records: tuple[Record, ...], why: OSError) -> None:
        self.path = path
        self.records = list(records)
        self._why = why

    def append(self, kind: Kind, body: Mapping[str, Any]) -> Record:
        raise self._why

    async def sync(self) -> None:
        """Nothing was appended."""

    def close(self) -> None:
        """Nothing is open."""


def unwritable(path: Path, why: OSError) -> FinalError:
    """The error of a procedure that does not begin, or does not go on to its point of no return, without a journal."""
    folder = path if path.is_dir() else path.parent
    return FinalError(
        f"the journal {path} cannot be written: {why.strerror or why}",
        slug="journal-unwritable",
        hint=f"df -h {folder}; make room, then repeat",
    )


def _free_name(path: Path, records: int) -> Path:
    """Where a torn tail is kept; an earlier one behind as many records stays."""
    beside, times = path.with_suffix(f".torn-{records}"), 1
    while beside.exists():
        times += 1
        beside = path.with_suffix(f".torn-{records}-{times}")
    return beside


def _content(record: Record) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "at": record.at,
        "kind": record.kind.value,
        "body": record.body,
        "prev": record.prev,
    }


def _digest(record: Record) -> str:
    return hashlib.sha256(json.dumps(_content(record), sort_keys=True).encode()).hexdigest()


def _parse(line: bytes, seq: int, prev: str) -> Record | None:
    try:
        body = json.loads(line)
        record = Record(body["seq"], body["at"], Kind(body["kind"]), body["body"], body["prev"], body["hash"])
    except (ValueError, KeyError, TypeError, RecursionError):  # garbage may be nested deeper than a parser goes
        return None
    proven = record.seq == seq and record.prev == prev and _digest(record) == record.hash
    return record if proven and record.line() == line + b"\n" else None


def _dump(body: Mapping[str, Any]) -> str:
    return json.dumps(body, default=str)
