"""Compare the file sets, by rsync and in what it does not see, and tell what is wrong from what has merely changed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secondsite.database.verify.model import Outcome
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Event, Progress
from secondsite.files.choice import current
from secondsite.files.engine import Engine, Rsync, compare_soon, last_complete
from secondsite.files.rsync.irregular import unescaped
from secondsite.files.rsync.verify import Verification, verify
from secondsite.files.store import STORE
from secondsite.files.versions.child import work
from secondsite.files.versions.facts import MOST, Fact, wrong
from secondsite.spec import FileSet, Spec
from secondsite.verification.check import Check, unknown
from secondsite.verification.record import FILES_NAMED

COMPARE_SECONDS = 6 * 3600.0
PULL_SECONDS = 60.0
POLL_SECONDS = 0.5
EVERYTHING = 10**9
PORTION_BYTES = 500_000  # of a question, which the agent reads whole
SHOWN = FILES_NAMED
NAMED = 10_000  # of what differs, so that nothing is counted twice
READ_BYTES = 64 * 1024 * 1024  # at once
Ask = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Stat = tuple[int, int] | None


async def check(
    spec: Spec,
    site: str,
    *,
    emit: Emit,
    ask: Ask | None = None,
    sample: int | None = None,
    seed: int = 0,
    suspects: Mapping[str, tuple[str, ...] | None] | None = None,
    store: Path = STORE,
    sets: Sequence[FileSet] | None = None,
) -> list[Check]:
    """One check a set; of ``sets``, or of all. ask: a question to the primary. sample: how many files are read; None is
    all, and of the others size, time and attributes are compared. suspects: as ``record.suspect_files`` tells: a sample
    that happens to leave them out would prove nothing."""
    found, sets = [], spec.files if sets is None else sets
    for place, fileset in enumerate(sets):
        emit(Progress("compare files", place, float(len(sets)), "sets", site))
        try:
            again = (suspects or {}).get(fileset.name, ())
            most = None if again is None else sample
            found.append(await _set(Comparison(spec, site, fileset, store, ask, most, seed, emit, again or ())))
        except SecondsiteError as error:
            found.append(unknown(f"files {fileset.name}", "files", site, error))
    if sets:
        emit(Progress("compare files", len(sets), float(len(sets)), "sets", site))
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared of one set, and how."""

    spec: Spec
    site: str
    fileset: FileSet
    store: Path
    ask: Ask | None
    sample: int | None
    seed: int
    emit: Emit
    suspects: tuple[str, ...] = ()

    @property
    def _source(self) -> str:
        return str(self.spec.tunnel_address(self.spec.peer_of(self.site)))

    @property
    def _engine(self) -> Engine:
        return current(self.spec, self.fileset, self._source, store=self.store)

    @property
    def by_snapshots(self) -> bool:
        """Whether ZFS answers for the content: no file of the copy is looked at."""
        return not isinstance(self._engine, Rsync)

    async def compared(self, drawn: Mapping[str, Fact], there: Mapping[str, Fact]) -> Verification:
        """By rsync: of all files what size, time and attributes tell, and of those that are drawn the content. Portion
        by portion, so that it can say how far it is and read no faster than the set's ``bandwidth``: of what lies on
        a disk at either site, for rsync hashes holes too, and they cost no disk anything. there: facts of the
        primary."""
        fileset, source, port = self.fileset, self._source, self.spec.tunnel.files_port
        if self.by_snapshots:
            return await self._engine.verify(source, port, timeout=COMPARE_SECONDS)
        whole = await verify(fileset, source, port, timeout=COMPARE_SECONDS, content=False, named=NAMED)
        found, seconds, read = dict.fromkeys(whole.sample), whole.seconds, 0
        total, began = sum(on_disk(fact, there.get(path)) for path, fact in drawn.items()), time.monotonic()
        for paths, size in to_read(drawn, there):
            largest = max(int(facts[path][0]) for path in paths for facts in (drawn, there) if path in facts)
            part = await verify(
                fileset, source, port, timeout=COMPARE_SECONDS, only=paths, named=NAMED, largest=largest
            )
            found |= dict.fromkeys(part.sample)
            seconds += part.seconds
            read += size
            await asyncio.sleep(pause(read, time.monotonic() - began, fileset.bandwidth))
            self._tell(read, total, time.monotonic() - began)
        more = len(found) - len(whole.sample)
        return replace(whole, differing=whole.differing + more, sample=tuple(found)[:SHOWN], seconds=seconds)

    def _tell(self, read: int, total: int, seconds: float) -> None:
        rate = read / seconds if seconds > 0 else 0.0
        left = (total - read) / rate if rate else None
        what = f"compare {self.fileset.name}"
        self.emit(Progress(what, read, float(total), site=self.site, rate_per_second=rate, seconds_left=left))

    async def drawn(self) -> Mapping[str, Fact]:
        """Files of the copy that are looked at more closely, and what rsync does not compare of them."""
        if self.by_snapshots:
            return {}

        order = {"sample": EVERYTHING if self.sample is None else self.sample, "seed": self.seed}
        name, path = self.fileset.name, str(self.fileset.path)

        def say(event: Event) -> None:  # its number is of the files that were looked at, not of those that are chosen
            self.emit(replace(event, what=f"look through {name}") if isinstance(event, Progress) else event)

        found = dict((await work("facts", name, path, order, emit=say))["facts"])
        if self.suspects:
            found |= (await work("facts", name, path, {"paths": self.suspects}))["facts"]
        return found

    async def there(self, here: Mapping[str, Fact]) -> Mapping[str, Fact]:
        """What the primary has to say of the same files."""
        found: dict[str, Fact] = {}
        if self.ask is None:
            return found
        for part in portions(list(here)):
            found |= (await self.ask("files", {"set": self.fileset.name, "paths": part}))["facts"]
        return found


def on_disk(here: Fact, there: Fact | None) -> int:
    """Pure: bytes of a file that are read from a disk, at the site where it is more. Both sites have the same content,
    and holes at one of them may be zeros at the other."""
    return max(min(int(fact[0]), int(fact[2])) for fact in (here, there) if fact is not None)


def to_read(drawn: Mapping[str, Fact], there: Mapping[str, Fact]) -> Iterator[tuple[list[str], int]]:
    """Pure: paths and their bytes on disk, as many at once as may be read between two looks at the clock: holes are
    hashed, so that they take time as well."""
    part: list[str] = []
    size = length = 0
    for path, fact in drawn.items():
        part.append(path)
        length += int(fact[0])
        size += on_disk(fact, there.get(path))
        if length >= READ_BYTES or len(part) == MOST:
            yield part, size
            part, size, length = [], 0, 0
    if part:
        yield part, size


def pause(read: int, seconds: float, bandwidth: float | None) -> float:
    """Pure: how long to rest after so many bytes in so many seconds, where no more than ``bandwidth`` a second are to
    be read; rsync's own limit is of what it sends, and a comparison sends next to nothing."""
    return max(0.0, read / bandwidth - seconds) if bandwidth else 0.0


def portions(paths: Sequence[str]) -> Iterator[list[str]]:
    """Pure: as many as one question may name."""
    part: list[str] = []
    length = 0
    for path in paths:
        part.append(path)
        length += 6 * len(path)  # as JSON writes what is no text
        if len(part) == MOST or length > PORTION_BYTES:
            yield part
            part, length = [], 0
    if part:
        yield part


async def _set(one: Comparison) -> Check:
    """A file that changes is fetched by the next pull. One that a complete pull leaves as it is, and that still is not
    what the source has, is wrong: its size and time look right and its content is not, or it should not be there."""
    fileset, site, name = one.fileset, one.site, f"files {one.fileset.name}"
    drawn = await one.drawn()
    paths = None if one.sample is None else list(drawn)
    there = await one.there(drawn)
    first = await one.compared(drawn, there)
    links, filled = wrong(drawn, there)
    told = {"read": 0 if one.by_snapshots else first.files if paths is None else len(paths)}
    if not first.differing and not first.folders and not links and not filled:
        return Check(
            name,
            "files",
            site,
            Outcome.EQUAL,
            _equal(first, paths, snapshots=one.by_snapshots),
            evidence=_told(first) | told,
        )
    before = {path: _stat(fileset, path) for path in (*first.sample, *first.folders)}
    await compare_soon(fileset, one.store)
    if not await _pulled(fileset, one.store):
        message = f"{_differ(first)}, and no pull has been complete since"
        return Check(name, "files", site, Outcome.UNKNOWN, message, "secondsite status", evidence=_told(first) | told)
    second = await one.compared(await one.drawn() if paths is None else drawn, there)
    anew = await one.drawn() if links or filled else {}
    again = wrong(anew, await one.there(anew))
    still = ([path for path in links if path in again[0]], [path for path in filled if path in again[1]])
    after = {path: _stat(fileset, path) for path in (*second.sample, *second.folders)}
    found = judged(name, site, first, second, before, after)
    found = replace(found, evidence={**found.evidence, **told})
    found = found if found.outcome is Outcome.DIFFERENT or not any(still) else structured(found, *still)
    return timed(found, first, second, before, after)


def _equal(found: Verification, paths: Sequence[str] | None, *, snapshots: bool) -> str:
    if snapshots:
        datasets = "1 dataset has" if found.files == 1 else f"{found.files} datasets have"
        return f"{datasets} the snapshot of the source, unchanged since, and the pool knows of no damage"
    if paths is None:
        return f"{found.files} files have the same content and attributes"
    return f"{found.files} files have the same size, time and attributes; of {len(paths)} the content was read"


def structured(found: Check, links: Sequence[str], filled: Sequence[str]) -> Check:
    """Pure: a copy that reads the same, and is put together otherwise."""
    parts = []
    if links:
        parts.append(f"{len(links)} files have other hard links than at the source, the first: {links[0]}")
    if filled:
        parts.append(f"{len(filled)} files take room where the source has holes, the first: {filled[0]}")
    some = (*links, *filled)[0]
    hint = f"move {some} away at {found.site}, and names that are one file with it, and verify again: that fetches it"
    evidence = {**found.evidence, "links": list(links[:SHOWN]), "filled": list(filled[:SHOWN])}
    return replace(found, outcome=Outcome.DIFFERENT, message="; ".join(parts), hint=hint, evidence=evidence)


def timed(
    found: Check, first: Verification, second: Verification, before: Mapping[str, Stat], after: Mapping[str, Stat]
) -> Check:
    """Pure: with what two comparisons with a complete pull between them say of the times of folders. A full pull sets
    each as the source has it; one that it has left alone is wrong, and nothing has to be moved away for it. before,
    after: the folders here, by path."""
    if not first.folders and not second.folders:
        return found
    seen = frozenset(first.folders)
    left = [path for path in second.folders if path in seen and _still(before.get(path), after.get(path))]
    if left:
        words = f"the times of {len(left)} folders differ that a complete pull has left alone, the first: {left[0]}"
        hint = "secondsite verify again: it has everything compared, which sets the times of folders"
        words = words if found.outcome is Outcome.EQUAL else f"{found.message}; {words}"
        evidence = {**found.evidence, "folders": left[:SHOWN]}
        return replace(found, outcome=Outcome.DIFFERENT, message=words, hint=found.hint or hint, evidence=evidence)
    if second.folders:
        words = f"the times of {len(second.folders)} folders change while they are compared"
    else:
        words = f"the times of {len(first.folders)} folders differed until everything was compared just now"
    return replace(found, message=f"{found.message}; {words}") if found.outcome is Outcome.EQUAL else found


def _still(before: Stat, after: Stat) -> bool:
    return before is not None and after is not None and before[1] == after[1]


def _differ(found: Verification) -> str:
    files = [f"{found.differing} files differ"] if found.differing or not found.folders else []
    folders = [f"the times of {len(found.folders)} folders differ"] if found.folders else []
    return " and ".join(files + folders)


def judged(
    name: str,
    site: str,
    first: Verification,
    second: Verification,
    before: Mapping[str, Stat],
    after: Mapping[str, Stat],
) -> Check:
    """Pure: what two comparisons with a complete pull between them say. before, after: the files here, by path."""
    evidence = _told(second)
    wrong = [path for path in second.sample if path in before and before[path] == after.get(path)]
    if wrong:
        message = f"{len(wrong)} files differ that a complete pull has left alone, the first: {wrong[0]}"
        hint = f"move {wrong[0]} away at {site} and verify again: that fetches it; and look at the disk"
        return Check(name, "files", site, Outcome.DIFFERENT, message, hint, evidence=evidence | {"wrong": wrong})
    if second.differing:
        message = f"{second.differing} of {second.files} files change while they are compared"
        return Check(name, "files", site, Outcome.BUSY, message, "", evidence=evidence)
    return Check(name, "files", site, Outcome.EQUAL, f"{second.files} files are the same", evidence=evidence)


async def _pulled(fileset: FileSet, store: Path) -> bool:
    """Whether a pull that began after now was complete in time; the source's clock may be a little off."""
    now, deadline, seen = time.time(), time.monotonic() + PULL_SECONDS + 2 * fileset.interval, set()
    while time.monotonic() < deadline:
        complete = last_complete(fileset, store)
        if complete is not None:
            seen.add(complete)
        if len(seen) >= 3:  # one may have begun before; the one after it has not
            return True
        await asyncio.sleep(POLL_SECONDS)
    return any(moment > now for moment in seen) and len(seen) >= 2


def _stat(fileset: FileSet, path: str) -> Stat:
    try:
        found = os.lstat(os.fsencode(f"{fileset.path}/") + unescaped(os.fsencode(path)))
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _told(found: Verification) -> dict[str, object]:
    return {
        "files": found.files,
        "differing": found.differing,
        "sample": list(found.sample),
        "folder_times": len(found.folders),
        "seconds": round(found.seconds, 3),
    }
