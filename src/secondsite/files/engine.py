"""The port behind which file sets are mirrored, and the acts that are the same for every engine.

An engine answers for one kind of mirroring (rsync, or ZFS snapshots). What it must fill:

- ``observe``: the set here, from what this host remembers and sees; no network, a few milliseconds.
- ``seed``: the first complete copy; may take hours, reports Progress, can be called again after an interruption.
- ``pull``: everything newer than the last complete pull. Deletes within the budget only; never over a source.
- ``lag``: seconds since ``complete_at`` on the *source's* clock. None where it is unknown, never 0 for silence.
- ``verify``: a comparison of content that does not trust sizes, times or names.
- ``promote``: from now on this site's copy is the original: ends a pull that runs, keeps any later one out, makes it
  writable. Must be quick (it stands in the way of a failover) and repeatable.
- ``demote``: from now on this site pulls again. What differs from the new source is kept aside, not deleted.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from secondsite.errors import FinalError, RetryableError
from secondsite.events import Emit, ignore
from secondsite.files import parting
from secondsite.files import store as records
from secondsite.files.bandwidth import limit_of
from secondsite.files.observe import state_of
from secondsite.files.rsync.pull import PullResult, pull
from secondsite.files.rsync.verify import Verification, verify
from secondsite.files.state import FileSetState
from secondsite.files.store import PULLED, SOURCE, STORE, locked
from secondsite.files.stream import heard
from secondsite.files.takeover import take_over
from secondsite.files.zfs.engine import Zfs
from secondsite.spec import FileSet

LOCK_SECONDS = 10.0


class Engine(Protocol):
    """One way of mirroring one file set; the module's text says what each call owes."""

    async def observe(self, *, standby: bool) -> FileSetState: ...

    def lag(self, *, now: float) -> float | None: ...

    async def seed(self, source: str, port: int, *, timeout: float, emit: Emit) -> PullResult: ...

    async def pull(self, source: str, port: int, *, timeout: float, emit: Emit) -> PullResult: ...

    async def verify(self, source: str, port: int, *, timeout: float) -> Verification: ...

    async def promote(self) -> None: ...

    async def demote(self) -> None: ...


class Rsync:
    """Mirroring by repeated rsync from the source's read-only daemon. A seed is a pull like any other."""

    def __init__(self, fileset: FileSet, store: Path = STORE) -> None:
        self.fileset = fileset
        self.store = store

    async def observe(self, *, standby: bool) -> FileSetState:
        record = records.load(self.fileset.name, self.store)
        told = heard.load(self.fileset.name, record, self.store)
        return state_of(
            self.fileset, record, now=time.time(), standby=standby, heard=told, limit=limit_of(self.fileset, self.store)
        )

    def lag(self, *, now: float) -> float | None:
        complete_at = last_complete(self.fileset, self.store)
        return None if complete_at is None or complete_at > now else now - complete_at

    async def seed(self, source: str, port: int, *, timeout: float, emit: Emit) -> PullResult:
        return await self.pull(source, port, timeout=timeout, emit=emit)

    async def pull(self, source: str, port: int, *, timeout: float, emit: Emit = ignore) -> PullResult:
        return await pull(self.fileset, source, port, timeout=timeout, emit=emit, store=self.store)

    async def verify(self, source: str, port: int, *, timeout: float) -> Verification:
        return await verify(self.fileset, source, port, timeout=timeout)

    async def promote(self) -> None:
        """A pull that runs is ended, and so is each pass that it still begins: it must not write over what the
        application writes from now on. One that only waits for the disk writes nothing more, and is not waited for:
        a slow disk must not stop a failover."""
        await take_over(self.fileset.name, self.store)

    async def demote(self) -> None:
        name, store = self.fileset.name, self.store
        record = records.load(name, store)
        if record.role == SOURCE:
            fresh = replace(record, role=PULLED, settled=False, complete_at=None, outcome=None, reason=None)
            fresh = replace(fresh, confirmed_at=None, epoch=None, alarm=None, window=())
            records.save(name, replace(fresh, held_back=None, allow_deletions=False), store)


def engine_for(fileset: FileSet, store: Path = STORE) -> Engine:
    """The engine by which a set has been pulled so far; files/choice.py decides before the first pull."""
    if records.load(fileset.name, store).engine == "zfs":
        return Zfs(fileset, store)
    return Rsync(fileset, store)


def last_complete(fileset: FileSet, store: Path = STORE) -> float | None:
    """The source's moment (unix seconds) up to which everything is here; None where no pull was ever complete."""
    return heard.complete_at(fileset.name, records.load(fileset.name, store), store)


def not_here(fileset: FileSet, store: Path = STORE) -> dict[str, object]:
    """What the source told that it has changed, and that may not be here: how many paths, some of their names, and when
    it told so (unix seconds, this host's clock; None where its changes were not followed)."""
    record = records.load(fileset.name, store)
    told = heard.load(fileset.name, record, store)
    if told is None:
        return {"count": None, "names": [], "told_at": None}
    return {"count": told.pending, "names": list(told.waiting), "told_at": told.at}


def held_back(fileset: FileSet, store: Path = STORE) -> int | None:
    """How many deletions and changes of the source a safety rule has kept from the copy; None where it has none."""
    record = records.load(fileset.name, store)
    return record.held_back if record.outcome == "blocked" else None


async def promote(fileset: FileSet, store: Path = STORE) -> None:
    """This site's copy is the original from now on. Raises RetryableError (``files-busy``)."""
    await engine_for(fileset, store).promote()


async def demote(fileset: FileSet, store: Path = STORE) -> None:
    """This site pulls from the other one from now on."""
    await engine_for(fileset, store).demote()


def taken_over_at(fileset: FileSet, store: Path = STORE) -> float | None:
    """The old source's moment (unix seconds) up to which everything was here when this copy became the original; None
    where it has not, or where no pull was ever complete."""
    record = records.load(fileset.name, store)
    return record.complete_at if record.role == SOURCE else None


def is_original(fileset: FileSet, store: Path = STORE) -> bool:
    """Whether the copy here has become the original, and has not been given up since."""
    return records.load(fileset.name, store).role == SOURCE


async def written_into(fileset: FileSet, store: Path = STORE) -> None:
    """The site of this copy is the primary: whatever pull was complete before, the application works in it since. So
    its content counts as somebody's when it is pulled over again, also where no procedure of ours has made the site the
    primary. Nothing while another process has the set: to be called again."""
    record = records.load(fileset.name, store)
    if not _counts_as_copied(record):
        return
    with contextlib.suppress(RetryableError):
        async with locked(fileset.name, seconds=0, store=store):
            record = records.load(fileset.name, store)
            if _counts_as_copied(record):  # how far it had come stays: a failover that is under way has to tell it
                written = replace(record, settled=False, allow_deletions=False, promotions=record.promotions + 1)
                records.save(fileset.name, written, store)


def _counts_as_copied(record: records.Record) -> bool:
    return record.role != SOURCE and (record.settled or record.allow_deletions)


async def compare_soon(fileset: FileSet, store: Path = STORE) -> None:
    """The next pull compares everything, although the source's changes are followed: what was changed here by somebody
    else is told by nobody. Nothing where they are not followed: then every pull compares. Raises RetryableError
    (``files-busy``)."""
    if records.load(fileset.name, store).epoch is None:
        return
    async with locked(fileset.name, seconds=LOCK_SECONDS, store=store):
        record = records.load(fileset.name, store)
        if record.role == PULLED:
            records.save(fileset.name, replace(record, epoch=None), store)


async def note_lost(
    fileset: FileSet, store: Path = STORE, *, reached: float | None = None, left: parting.Left | None = None
) -> None:
    """While nothing is pulled over this site yet: remember what may be only here; the first pull lists it.

    reached, left: as for ``give_up``. Raises OSError.
    """
    await parting.note(fileset, reached, store, left=left)


async def give_up(
    fileset: FileSet, store: Path = STORE, *, reached: float | None = None, left: parting.Left | None = None
) -> None:
    """A person has named this site as the one whose data is given up: the next pull takes away whatever the source has
    not, however much it is; all of it goes aside, and what had never reached the source is listed.

    reached: ``taken_over_at`` of the other site. left: which failover it is, where that is known.
    Raises RetryableError (``files-busy``), OSError.
    """
    name = fileset.name
    async with locked(name, seconds=LOCK_SECONDS, store=store):
        await parting.note(fileset, reached, store, left=left)
        record = records.load(name, store)
        given = replace(record, role=PULLED, settled=False, complete_at=None, outcome=None, held_back=None)
        given = replace(given, confirmed_at=None, epoch=None, alarm=None, window=(), counted=())
        records.save(name, replace(given, allow_deletions=True), store)


async def allow_deletions(fileset: FileSet, store: Path = STORE) -> int:
    """A person has looked: the next pull may do what a safety rule has held back (deletions, or the many changes that
    looked like an attack), once; how many that are.

    Raises FinalError (``nothing-held-back``) where no rule has stopped anything: an agreement in advance would be an
    agreement to anything. RetryableError (``files-busy``) where a pull does not end.
    """
    name = fileset.name
    async with locked(name, seconds=LOCK_SECONDS, store=store):  # a pull that runs would write its older record back
        record = records.load(name, store)
        if record.outcome != "blocked" or not record.held_back:
            raise FinalError(
                f"no safety rule has stopped a pull of {name}, so there is nothing to allow",
                slug="nothing-held-back",
                step="allow deletions",
                hint="secondsite status says how the file set is",
            )
        records.save(name, replace(record, allow_deletions=True), store)
        return record.held_back
