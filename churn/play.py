"""One round: a tree is changed all the time, everything fails, and at the end the copy is what the source is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from churn.changes import Churn
from churn.disks import disk
from churn.faults import Fault, Kind, draw, edges
from churn.line import Line
from churn.sites import DOOR, DOOR_SEEN, FILES, FILES_SEEN, Sites
from churn.trees import State, differences, state_of
from secondsite.events import ignore
from secondsite.files.engine import promote
from secondsite.files.rsync.stuck import LOOK_SECONDS, Stuck
from secondsite.files.versions.acts import file_facts
from secondsite.verification import filesets

BURST = 10
SETTLE_SECONDS = 8.0  # at most, for the copy to come after a fault; else nothing but full comparisons would be seen
EQUAL_SECONDS = 40.0
EQUAL_ZFS_SECONDS = 240.0  # zfs-fuse asks a process for each call: a pass over the tree takes up to a minute
LAST_OPERATIONS = 60  # at the end, without a fault: they have to come by the stream


@dataclass(slots=True)
class Round:
    """What is played, and what came of it. wrong: why it does not hold."""

    kind: str
    engine: str
    seed: int
    operations: int
    faults: tuple[Fault, ...] = ()
    done: dict[str, int] = field(default_factory=dict)
    entries: int = 0
    bytes: int = 0
    pulls: int = 0
    followed: float = 0.0
    missed: int = 0
    equal_after: float | None = None
    verified: str = ""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "failed" if self.wrong else "held"

    def document(self) -> dict[str, Any]:
        return {
            "file_system": self.kind,
            "engine": self.engine,
            "seed": self.seed,
            "operations": self.operations,
            "faults": [str(one) for one in self.faults],
            "changes": self.done,
            "entries": self.entries,
            "bytes": self.bytes,
            "pulls": self.pulls,
            "followed_share": round(self.followed, 2),
            "kills_that_met_nobody": self.missed,
            "identical_after_seconds": self.equal_after,
            "verify": self.verified,
            "seconds": round(self.seconds, 1),
            "verdict": self.verdict,
            "wrong": self.wrong,
        }


async def play(one: Round, base: Path, tools: Path) -> None:
    """Fill in what came of it."""
    began = time.monotonic()
    there, here = disk(one.kind, base, "there"), disk(one.kind, base, "here")
    sites, line = Sites(base, there, here, one.engine, tools), Line()
    one.faults = draw(one.seed, one.operations)
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(line.pass_on(*ports)) for ports in ((DOOR_SEEN, DOOR), (FILES_SEEN, FILES))]
        beside.append(group.create_task(_unstick(sites)))
        try:
            await _Playing(one, sites, line).go()
        finally:
            sites.stop()
            for each in beside:
                each.cancel()
    one.seconds = time.monotonic() - began


async def _unstick(sites: Sites) -> None:
    """What the source's agent does besides."""
    stuck = Stuck(sites.daemon)
    while True:
        await stuck.look()
        await asyncio.sleep(LOOK_SECONDS)


class _Playing:
    """A round under way."""

    def __init__(self, one: Round, sites: Sites, line: Line) -> None:
        self._one, self._sites, self._line = one, sites, line
        self._churn = Churn(sites.source, sites.outside, one.seed)
        self._random = random.Random(f"moments {one.seed}")
        self._looks = self._followed = 0
        self._seen: dict[str, None] = {}  # states of the record, in their order

    async def go(self) -> None:
        """Everything but the disks and the line."""
        one, sites = self._one, self._sites
        await asyncio.to_thread(self._churn.steps, 100)
        sites.start()
        await self._settled(60.0)
        await self._faulty()
        self._heal()
        sites.start()
        ended = time.time()
        if one.engine == "zfs":
            await self._mounted(ended)
        else:
            await self._last_ones()
        await self._compare()
        one.done = dict(sorted(self._churn.done.items()))
        one.pulls, one.followed = sites.record.pulls, self._followed / max(1, self._looks)
        one.wrong += sites.mistakes()
        if one.wrong:
            one.wrong.append(f"the record: {sites.record}")
            await asyncio.to_thread(sites.ask_why)

    async def _faulty(self) -> None:
        left = list(edges(self._one.faults))
        for number in range(0, self._one.operations, BURST):
            while left and left[0][0] < number + BURST:
                _, fault, begins = left.pop(0)
                await (self._begin if begins else self._end)(fault)
                if not begins or not fault.lasts:
                    await self._settled(SETTLE_SECONDS * self._random.random())
            await asyncio.to_thread(self._churn.steps, BURST)
            await asyncio.sleep(self._random.random() * 0.1)
            self._look()

    def _look(self) -> None:
        self._looks += 1
        self._followed += self._sites.told(time.time()) is not None

    async def _begin(self, fault: Fault) -> None:
        sites, line = self._sites, self._line
        match fault.kind:
            case Kind.CUT:
                line.cut()
            case Kind.STILL:
                line.still = True
            case Kind.FULL:
                await asyncio.to_thread(sites.here.fill)
            case Kind.CLOCK:
                sites.set_clock(fault.whose, fault.offset)
            case Kind.COPYING:
                await self._kill_one()
            case Kind.WATCHER | Kind.FOLLOWER | Kind.DAEMON:
                sites.kill(fault.kind.removesuffix("-killed"))
                await asyncio.to_thread(self._churn.steps, self._random.randrange(BURST))
                sites.start()

    async def _end(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.CUT | Kind.STILL:
                self._line.mend()
            case Kind.FULL:
                await asyncio.to_thread(self._sites.here.empty)
            case Kind.CLOCK:
                self._sites.set_clock(fault.whose, 0)
            case _:
                raise ValueError(f"{fault.kind} lasts for a moment")

    async def _kill_one(self) -> None:
        """Whoever copies just now; something large makes it likely that somebody does."""
        await asyncio.to_thread(self._churn.grow)
        for _ in range(400):
            found = self._sites.copying()
            if found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(found[-1], signal.SIGKILL)
                return
            await asyncio.sleep(0.005)
        self._one.missed += 1

    def _heal(self) -> None:
        self._line.mend()
        self._sites.here.empty()
        for whose in ("watcher", "follower"):
            self._sites.set_clock(whose, 0)

    async def _settled(self, seconds: float) -> None:
        """Until nothing waits at the source, or for so long. By ZFS: until a round has begun and is complete."""
        now = time.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._came(now):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    def _came(self, since: float) -> bool:
        if self._one.engine == "zfs":
            return (self._sites.record.complete_at or 0.0) > since
        told = self._sites.told(time.time())
        return told is not None and told.pending == 0

    def _heard(self, since: float) -> bool:
        """Whether the source has said after that moment that nothing waits: what it said before a fault is no sign."""
        told = self._sites.told(time.time())
        return told is not None and told.pending == 0 and told.at > since

    async def _last_ones(self) -> None:
        """Followed again, and what happens then comes by the stream alone."""
        sites, since = self._sites, time.time()
        self._churn.spare()
        await self._until_equal()
        if await asyncio.to_thread(self._differ):
            return  # told by the comparison
        try:
            async with asyncio.timeout(60):
                while not self._heard(since):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self._one.wrong.append(f"its changes are not followed any more: {sites.record}")
            return
        pulls = sites.record.pulls
        self._seen.clear()
        await asyncio.to_thread(self._churn.steps, LAST_OPERATIONS)
        await self._until_equal()
        if sites.record.pulls != pulls:
            self._one.wrong.append(f"a full comparison was needed without any fault: {'; '.join(self._seen)}")

    def _differ(self) -> bool:
        try:
            return bool(differences(self._sites.source, self._sites.copy))
        except (FileNotFoundError, NotADirectoryError):
            return True  # it is on its way

    async def _until_equal(self) -> None:
        began = time.monotonic()
        most = EQUAL_ZFS_SECONDS if self._one.kind == "zfs" else EQUAL_SECONDS
        while await asyncio.to_thread(self._differ) and time.monotonic() - began < most:
            record = self._sites.record
            self._seen.setdefault(f"{record.outcome} epoch {record.epoch} {record.reason or ''}".strip())
            await asyncio.sleep(0.05)
        self._one.equal_after = round(max(self._one.equal_after or 0.0, time.monotonic() - began), 1)

    async def _mounted(self, ended: float) -> None:
        """ZFS: a round after the last change, and then the copy becomes the original, which mounts it."""
        sites, began = self._sites, time.monotonic()
        while (sites.record.complete_at or 0.0) <= ended + 1.0:
            if time.monotonic() - began > EQUAL_SECONDS:
                self._one.wrong.append(f"no round is complete any more: {sites.record}")
                return
            await asyncio.sleep(0.2)
        self._one.equal_after = round(time.monotonic() - began, 1)
        await self._verify()
        sites.kill("follower")
        await promote(sites.spec.files[0], sites.store)

    async def _compare(self) -> None:
        """What the checker says, and then what secondsite's own verify says."""
        one, sites = self._one, self._sites
        if not sites.copy.is_dir():
            one.wrong.append(f"there is no copy: {sites.record}")
            return
        try:
            found = await asyncio.to_thread(differences, sites.source, sites.copy, whole=one.engine == "zfs")
        except (FileNotFoundError, NotADirectoryError) as moving:
            one.wrong.append(f"the copy still changes: {moving}")
            return
        for path, (there, here) in sorted(found.items())[:5]:
            one.wrong.append(f"{path!r}: {_told(there, here)}")
        if len(found) > 5:
            one.wrong.append(f"and {len(found) - 5} more")
        state = await asyncio.to_thread(state_of, sites.source)
        one.entries, one.bytes = len(state), sum(len(each.content) for each in state.values())
        if one.engine != "zfs" and not one.wrong:
            await self._verify()

    async def _verify(self) -> None:
        sites = self._sites
        there = sites.spec.files[0].model_copy(update={"path": PurePosixPath(sites.source)})
        source = sites.spec.model_copy(update={"files": (there,)})

        async def ask(act: str, request: Any) -> Any:
            if act != "files":
                raise ValueError(act)
            return await file_facts(source, request)

        asked = None if self._one.engine == "zfs" else ask
        (found,) = await filesets.check(sites.spec, "bergen", emit=ignore, ask=asked, store=sites.store)
        self._one.verified = found.outcome.value
        if found.outcome.value != "equal":
            self._one.wrong.append(f"secondsite's verify does not agree: {found.outcome}: {found.message}")


def _told(there: State | None, here: State | None) -> str:
    """What differs, short."""
    if there is None:
        return f"only at the copy: {here.mode:o}" if here is not None else ""
    if here is None:
        return f"missing at the copy: {there.mode:o}, {len(there.content)} bytes"
    told = []
    for name in State.__slots__:
        first, second = getattr(there, name), getattr(here, name)
        if first != second:
            told.append(f"{name}: {first!r:.120} but {second!r:.120}")
    return "; ".join(told)
