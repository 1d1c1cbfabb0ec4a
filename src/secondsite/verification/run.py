"""The whole verification, at the standby: what was asked for, one thing after the other, and its document."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from secondsite.clock import Clock, to_text
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe
from secondsite.database.verify.model import Outcome, Table
from secondsite.errors import Exit, UsageError
from secondsite.events import Emit, Result
from secondsite.objectives.lag import DATABASE
from secondsite.objectives.snapshot import LagSample
from secondsite.spec import FileSet, Spec, paths
from secondsite.verification import filesets, heartbeat, integrity, named, record, tables
from secondsite.verification.check import Check
from secondsite.verification.order import Pair

RANGES = 64
FILES = 1000
BEAT_SECONDS = 2.5
Part = Literal["database", "files"]
Samples = Callable[[float, int], Sequence[LagSample]]  # since when (unix seconds), how coarse


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for. tables: names or patterns of the file's kind; none means all. seed: None draws one.
    files_sets: names of file sets; where only these or only tables are named, nothing but them is looked at.

    files_sample: files of each set whose content is read; complete, and full: all of them.
    """

    only: Part | None = None
    full: bool = False
    seed: int | None = None
    ranges: int = RANGES
    tables: tuple[str, ...] = ()
    files_sample: int = FILES
    complete: bool = False
    files_sets: tuple[str, ...] = ()

    @property
    def database(self) -> bool:
        """Whether the database is looked at."""
        return self.only != "files" and (bool(self.tables) or not self.files_sets)

    @property
    def files(self) -> bool:
        """Whether file sets are."""
        return self.only != "database" and (bool(self.files_sets) or not self.tables)

    @property
    def everything(self) -> bool:
        """Whether what is not among the checks is no part of the service any more."""
        return self.full and not self.tables and not self.files_sets

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Wanted:
        """From what came over a wire. Raises UsageError (``no-such-argument``)."""
        try:
            lists = {name: tuple(arguments.get(name, ())) for name in ("tables", "files_sets")}
            wanted = cls(**{**arguments, **lists})
        except TypeError as unknown:
            raise UsageError(f"unknown argument of verify: {unknown}", slug="no-such-argument") from unknown
        if wanted.only not in (None, "database", "files"):
            raise UsageError(f"there is no part {wanted.only}", slug="no-such-argument", hint="--only database|files")
        if wanted.only == "database" and wanted.files_sets:
            raise UsageError(
                "a file set is no part of the database", slug="no-such-argument", hint="leave --only or --files-set out"
            )
        return wanted


@dataclass(frozen=True, slots=True)
class Verification:
    """One run. cluster: the standby's own; record_file: where its outcome is kept."""

    spec: Spec
    pair: Pair
    cluster: Cluster
    clock: Clock
    samples: Samples
    record_file: Path = paths.VERIFIED
    emit: Emit = field(default=lambda _: None)

    async def run(self, wanted: Wanted) -> Result:
        """Raises SecondsiteError where it could not begin, or where roles change on the way."""
        began, seed = self.clock.now(), wanted.seed if wanted.seed is not None else random.randrange(10**6)
        kept = await asyncio.to_thread(record.load, self.record_file)
        checks: list[Check] = []
        sets = picked_sets(self.spec.files, wanted.files_sets)
        if wanted.database:
            checks += await self._database(wanted, seed, kept)
        if wanted.files:
            checks += await filesets.check(
                self.spec,
                self.pair.standby.site,
                emit=self.emit,
                ask=self.pair.primary.ask,
                sample=None if wanted.full or wanted.complete else wanted.files_sample,
                seed=seed,
                suspects=record.suspect_files(kept),
                sets=sets,
            )
        ended = self.clock.now()
        joined = record.joined(kept, checks, ended.timestamp(), everything=wanted.everything)
        await asyncio.to_thread(record.save, joined, self.record_file)
        document = {
            "service": self.spec.service.name,
            "primary": self.pair.primary.site,
            "standby": self.pair.standby.site,
            "taken_at": to_text(began),
            "seconds": round((ended - began).total_seconds(), 3),
            "full": wanted.full,
            "seed": None if wanted.full else seed,
            "outcome": str(overall(checks)),
            "checks": [check.document() for check in checks],
        }
        return Result(document, int(Exit.OK if overall(checks) is Outcome.EQUAL else Exit.OBJECTIVE_MISSED))

    async def _database(self, wanted: Wanted, seed: int, kept: record.Kept | None) -> list[Check]:
        pair, emit = self.pair, self.emit
        await pair.roles()
        all_tables = await tables.known(pair)
        chosen = picked(all_tables, wanted.tables)
        checks: list[Check] = [] if wanted.tables else await self._named()
        checks += await tables.check_tables(
            pair,
            chosen,
            budget=None if wanted.full else wanted.ranges,
            seed=seed,
            suspects=record.suspects(kept),
            emit=emit,
        )
        checks += await integrity.check(
            self.spec, pair.standby.site, self.cluster, chosen, full=wanted.full, seed=seed, emit=emit
        )
        return checks

    async def _named(self) -> list[Check]:
        checks = [await self._heartbeat()]
        for index, one in enumerate(self.spec.database.verify):
            checks += (
                [await named.newest(self.pair, one)] if one.table else await named.statement(self.pair, one, index)
            )
        return checks

    async def _heartbeat(self) -> Check:
        first = (await asyncio.to_thread(observe, self.cluster)).heartbeat_at
        await asyncio.sleep(BEAT_SECONDS)
        last = (await asyncio.to_thread(observe, self.cluster)).heartbeat_at
        now = self.clock.now().timestamp()
        hour, day = (
            [one for one in self.samples(now - back, span) if one.replica == DATABASE]
            for back, span in ((3600.0, 1), (heartbeat.HOURS * 3600.0, 60))
        )
        return heartbeat.judged(self.pair.standby.site, (first, last), hour, day, rpo=self.spec.objectives.rpo)


def picked(known: Sequence[Table], names: Sequence[str]) -> tuple[Table, ...]:
    """Those that were named, as [DATABASE:][SCHEMA.]TABLE; else all. Raises UsageError (``verify-no-table``)."""
    if not names:
        return tuple(known)
    found: list[Table] = []
    for name in names:
        of_it = [table for table in known if name in _names(table)]
        if not of_it:
            raise UsageError(
                f"there is no table {name} at the primary",
                slug="verify-no-table",
                hint="write [DATABASE:][SCHEMA.]TABLE",
            )
        found += of_it
    return tuple(dict.fromkeys(found))


def picked_sets(known: Sequence[FileSet], names: Sequence[str]) -> tuple[FileSet, ...]:
    """Those that were named; else all. Raises UsageError (``no-such-set``) that names every unknown one."""
    there = {fileset.name for fileset in known}
    unknown = [name for name in dict.fromkeys(names) if name not in there]
    if unknown:
        sets = ", ".join(fileset.name for fileset in known) or "none"
        raise UsageError(
            f"there is no file set {', '.join(unknown)} (sets: {sets})", slug="no-such-set", hint="secondsite status"
        )
    return tuple(fileset for fileset in known if not names or fileset.name in names)


def _names(table: Table) -> tuple[str, ...]:
    bare = (table.name, f"{table.schema}.{table.name}")
    return (*bare, *(f"{table.database}:{one}" for one in bare))


def overall(checks: Sequence[Check]) -> Outcome:
    """Equal only where something was found equal, nothing different, and all that is wanted could be looked at."""
    outcomes = {check.outcome for check in checks if check.wanted or check.outcome is Outcome.DIFFERENT}
    for outcome in (Outcome.DIFFERENT, Outcome.UNKNOWN):
        if outcome in outcomes:
            return outcome
    if Outcome.EQUAL in outcomes:
        return Outcome.EQUAL
    return Outcome.BUSY if Outcome.BUSY in outcomes else Outcome.UNKNOWN
