"""The passes of one pull: each is an rsync, and what it says is counted as it goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from secondsite.events import Emit, Progress
from secondsite.files import lately
from secondsite.files import store as records
from secondsite.files.bandwidth import Watched
from secondsite.files.budget import Alarm, allowed_changes, many_changes
from secondsite.files.lately import Lately
from secondsite.files.rsync import command, irregular
from secondsite.files.rsync.output import (
    Code,
    Stats,
    only_moved,
    replaced,
    rewritten,
    source_missing,
    stats,
    unread,
    why,
)
from secondsite.files.rsync.runner import Ended, GoOn, run
from secondsite.files.state import SOURCE_UNREADABLE
from secondsite.files.store import SOURCE, Held, Record
from secondsite.files.stream.apply import Taken
from secondsite.spec import FileSet

PASSES = 3  # of copying while files vanish under it
MOST_SKIPPED = 100_000  # devices, sockets and FIFOs that a source may have


@dataclass(slots=True)
class Passes:
    """One pull under way: what it may do, and what it has done so far."""

    fileset: FileSet
    source: str
    deadline: float
    limit: Watched
    emit: Emit
    held: Held
    record: Record
    store: Path
    aside: Path | None = None
    irregular_aside: Path | None = None  # what bears the name of a device or such a thing; rsync never writes there
    files: int = 0
    bytes: int = 0
    deleted: int = 0
    uncounted: int = 0  # of these, what came within the hour
    created: int = 0
    reason: str | None = None
    blocked: bool = False
    unmounted: bool = False  # a file system inside the copy is not there
    held_back: int | None = None
    whole: bool = False  # what exists at the source is here, whatever is here beside it
    rewritten: int = 0
    alarm: Alarm | None = None
    skipped: set[irregular.Name] = field(default_factory=set)  # what is no file, link or folder at the source
    stale: dict[irregular.Name, int] = field(default_factory=dict)  # of these, what is one here: entries that go too

    @property
    def lately(self) -> Lately:
        return lately.of(self.fileset.name, self.store)

    @property
    def asides(self) -> list[Path]:
        return [aside for aside in (self.aside, self.irregular_aside) if aside is not None]

    @property
    def may_rewrite(self) -> int | None:
        """Files that may get another content, beyond those that did already; None: as many as there are. What differs
        before the first complete pull goes aside. A person's word covers changes where changes were shown."""
        record = self.record
        if not record.settled or (record.allow_deletions and record.alarm == Alarm.CHANGES):
            return None
        most = self.fileset.max_change
        return allowed_changes(record.window, time.time(), entries=record.entries or 1, max_change=most)

    async def copy(self) -> Stats | None:
        """Passes that copy and delete nothing, until one sees no file vanish or move; None where that fails."""
        moved = False
        for _ in range(PASSES):
            self.skipped.clear()
            ended = await self.run(max_delete=0)
            seen = self.count(ended)
            if self.alarmed():
                return None
            if ended.code == Code.DELETE_LIMIT and not seen.skipped:  # its own words were drowned in the source's
                self.reason = "the source talks so much that what is extra here cannot be told"
                return None
            in_the_way = ended.code == Code.PARTIAL and seen.skipped > 0  # a folder became a file: deleting decides
            if ended.code in (Code.OK, Code.DELETE_LIMIT) or in_the_way:
                self.whole = not in_the_way
                return seen
            moved = another_helps(ended)
            if ended.code != Code.VANISHED and not moved:
                self.fail(ended)
                return None
        if moved:  # then nobody knows what is extra here
            self.reason = f"the source changes faster than it can be compared: {why(ended.text)}"
            return None
        self.whole = True
        return seen  # short-lived files come and go: whatever was there before the first pass has been copied

    def alarmed(self) -> bool:
        """Whether it was stopped because too much is rewritten; then the reason says so."""
        if self.alarm is not None:
            self.reason = many_changes(self.record.entries or 1, self.fileset.max_change)
            self.blocked, self.held_back, self.whole = True, self.rewritten, False
        return self.alarm is not None

    def may(self) -> None:
        """Asked before whatever writes. Whoever promotes writes the role first, and then ends the rsync that is noted:
        one that is not noted yet is not waited for, and finds the role. Raises Taken."""
        if self._taken():
            raise Taken

    def _taken(self) -> bool:
        return records.load(self.fileset.name, self.store).role == SOURCE

    async def run(self, *, max_delete: int) -> Ended:
        """One pass, or what becomes of it where the limit is changed: rsync cannot change its own, so that it is ended
        and goes on from what it has left."""
        while True:
            ended = await self._once(max_delete=max_delete)
            if not (ended.asked and ended.code in (Code.SIGNAL, Code.STREAM)) or self.alarm is not None:
                return ended

    async def _once(self, *, max_delete: int) -> Ended:
        self.may()
        bandwidth, another = self.limit.begin()
        argv = command.pull(
            self.source,
            Path(self.fileset.path),
            exclude=self.fileset.patterns,
            bandwidth=bandwidth,
            max_delete=max_delete,
            backup=self.aside,
        )
        left, writable = self.deadline - time.monotonic(), [Path(self.fileset.path)]
        if self.aside is not None:
            self.aside.mkdir(parents=True, exist_ok=True, mode=0o700)
            writable.append(self.aside)

        def ends() -> bool:  # asked as soon as the rsync is noted, and then again and again
            if self._taken():
                records.end_running(self.fileset.name, self.store)
                return True
            return another()

        most = self.may_rewrite
        ended = await run(
            argv,
            seconds=left,
            held=self.held,
            watch=self._watch,
            writable=writable,
            go_on=self._within(most),
            closely=most is not None,
            until=ends,
        )
        self.may()
        return ended

    def _within(self, most: int | None) -> GoOn:
        """Counts files that are rewritten; no more than ``most`` are: one that encrypts them all costs so many."""

        def go_on(lines: bytes) -> bool:
            names, now = list(map(irregular.unescaped, rewritten(lines))), time.time()
            self.rewritten += len(self.lately.counting(names, now)) + replaced(lines)
            self.lately.rewritten.add(names, now)
            self.skipped |= set(irregular.skipped(lines))
            if most is not None and self.rewritten > most:
                self.alarm = Alarm.CHANGES
            return self.alarm is None and len(self.skipped) <= MOST_SKIPPED

        return go_on

    def _watch(self, done: int, total: int | None, rate: float, left: int) -> None:
        self.emit(Progress(f"files {self.fileset.name}", done, total, rate_per_second=rate, seconds_left=left))

    def count(self, ended: Ended) -> Stats:
        seen = stats(ended.stdout, ended.stderr)
        self.files += seen.transferred
        self.bytes += seen.bytes
        self.deleted += seen.deleted
        self.created += seen.created
        return seen

    def fail(self, ended: Ended) -> None:
        loose = source_missing(ended.text)
        self.reason = "it did not finish in its time" if ended.code is None else loose or why(ended.text)
        missing = unread(ended.text) if ended.code == Code.PARTIAL and loose is None else None
        if missing is not None:
            self.reason = f"{SOURCE_UNREADABLE}: {missing}"
        if len(self.skipped) > MOST_SKIPPED:
            self.reason = f"the source names more than {MOST_SKIPPED} devices, sockets and FIFOs"
        self.blocked = loose is not None


def another_helps(ended: Ended) -> bool:
    """Whether another pass is all it needs."""
    return ended.code == Code.PARTIAL and only_moved(ended.text)
