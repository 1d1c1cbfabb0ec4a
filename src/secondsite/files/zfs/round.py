"""One round at the standby: look at both sides, plan, receive, compare guids, tell the source, prune here.

Killed at any moment, the next round finds in the listings how far it came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from secondsite.errors import FinalError, RetryableError
from secondsite.events import Emit, Note, Progress
from secondsite.files.budget import Stopped
from secondsite.files.store import Held
from secondsite.files.versions.retention import Rule
from secondsite.files.zfs import ask, beside, names, plan
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.changed import Counting, bases, heads
from secondsite.files.zfs.host import Host
from secondsite.files.zfs.model import Dataset, Tree
from secondsite.files.zfs.names import below, incoming
from secondsite.files.zfs.offered import prune
from secondsite.files.zfs.receive import Received, receive

PLANS = 5_000  # a tree has fewer datasets; a plan that asks for ever is a mistake of ours


@dataclass(slots=True)
class Round:
    """A round under way. agreed: what differs here may go aside. going: told each dataset before it goes aside, with
    the creation of the last common snapshot."""

    host: Host
    door: Door
    fileset: str
    path: str
    root: str
    deadline: float
    emit: Emit
    held: Held | None = None
    agreed: bool = False
    rules: Sequence[Rule] = ()
    bandwidth: int | None = None
    counting: Counting | None = None
    bytes: int = 0
    snapshots: int = 0
    going: Callable[[str, int | None], None] = lambda dataset, since: None
    blocked: str | None = None
    parted: int = 0
    alarm: Stopped | None = None
    problem: str | None = None
    at: float | None = None
    here: Tree | None = None  # at its end, before anything is pruned
    known: Tree | None = None  # what the last round has left here, as far as this process knows
    _came: dict[str, int] = field(default_factory=dict)  # received and not looked at: dataset, guid of the snapshot

    async def carry_out(self) -> bool:
        """Whether everything that the source had at ``at`` is here. Raises SecondsiteError."""
        target, made, answer = await self._begin()
        if self.counting is not None:
            self.counting.begin(target)
        if target is not None and made is None:
            target = await beside.settled(self.host, target, self.path)
        if target is not None:
            await beside.retire(self.host, target)
        if answer is None:
            answer = await ask.start(self.door, self.fileset, _have(target, made), _partial(target, made))
        self.at = answer.at
        refused: frozenset[str] = frozenset()
        for _ in range(PLANS):
            now = plan.plan(answer.tree, target, made, agreed=self.agreed, refused=refused)
            if now.blocked is not None:
                self.blocked, self.parted = now.blocked, len(now.parted)
            if not now.steps:
                break
            met = await self._steps(now, answer.tree)
            refused = frozenset() if plan.Swap() in now.steps else refused | met  # another copy: nothing is known of it
            target, made = await self._look()
            await self._seen(target, made)
        if self.blocked is not None or await self._alarmed(target):
            return False
        await self._finish(answer.tree, target)
        return True

    async def _begin(self) -> tuple[Tree | None, Tree | None, ask.Answer | None]:
        """A look at what is here, and beside it the source's answer: it is asked for what the last round has left here,
        since each takes as long as a small stream. None where something else is here: what was answered is for another
        copy then."""
        if self.known is None:
            return *await self._look(), None
        asking = asyncio.ensure_future(ask.start(self.door, self.fileset, _have(self.known), []))
        try:
            target, made = await self._look()
            answer = await asking
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.exception()  # looked at, where the look here has failed first
        same = target is not None and made is None and heads(target) == heads(self.known) and not _partial(target)
        return target, made, answer if same else None

    async def _alarmed(self, target: Tree | None) -> bool:
        """Whether so much has changed that a person has to look: nothing is told to the source, so that it keeps the
        base, and nothing is pruned."""
        if self.counting is None or target is None:
            return False
        self.alarm = await self.counting.judge(target)
        if self.alarm is not None:
            self.blocked = f"{self.alarm.reason}. {_before(target, self.counting)}"
        elif self.counting.problem is not None:
            text = f"{self.fileset}: whether many files have changed could not be counted: {self.counting.problem}"
            self.emit(Note(text, level="warning"))
        return self.alarm is not None

    async def _look(self) -> tuple[Tree | None, Tree | None]:
        target, made = await self.host.trees(self.root, incoming(self.root))
        return target, made

    async def _steps(self, now: plan.Plan, source: Tree) -> frozenset[str]:
        """Datasets that turned out to be written to here. Raises RetryableError (``zfs-broken``)."""
        for step in now.steps:
            if self._came and not isinstance(step, plan.Increment):  # it may need what is set when that is seen
                await self._seen(*await self._look())
            match step:
                case plan.Full(path, to, at_side):
                    got = await self._receive("send", self._name(path, at_side), path, to=to)
                case plan.Increment(path, base, to):
                    got = await self._receive("send", self._name(path), path, to=to, base=base)
                case plan.Resume(path, token, to, at_side):
                    got = await self._receive("resume", self._name(path, at_side), path, to=to, token=token)
                case _:
                    await self._local(step, source)
                    continue
            self.bytes += got.bytes
            if self.counting is not None:
                self.counting.came(got.bytes)
            if got.modified:
                return frozenset({path})
            if got.problem is not None:
                raise RetryableError(f"receiving {path or self.root} failed: {got.problem}", slug="zfs-broken")
            self.snapshots += 1
        return frozenset()

    def _name(self, path: str, at_side: bool = False) -> str:
        return below(incoming(self.root) if at_side else self.root, path)

    async def _receive(
        self, act: str, name: str, path: str, *, to: int, base: int | None = None, token: str | None = None
    ) -> Received:
        """One stream; that it is here is seen by its guid, not by an exit code."""
        can = await self.host.features()
        more: dict[str, object] = {"dataset": path, "to": str(to), "can": can.send}
        if base is not None:
            more["base"] = str(base)
        if token is not None:
            more = {"token": token}
        if self.bandwidth is not None:
            more["bandwidth"] = self.bandwidth
        async with ask.asked(self.door, self.fileset, act, **more) as (_, line):
            got = await receive(
                self.host,
                line,
                name,
                to=to,
                base=base,
                seconds=self.deadline - time.monotonic(),
                held=self.held,
                watch=self._watch,
                checked=token is None,
            )
        if got.problem is None:
            self._came[name] = to
        return got

    async def _seen(self, *trees: Tree | None) -> None:
        """What came is there, and nobody can write to it. trees: a look behind it."""
        came, self._came = self._came, {}
        found = {below(tree.root, each.path): each for tree in trees if tree is not None for each in tree.datasets}
        for name, to in came.items():
            here = found.get(name)
            if here is None or all(each.guid != to for each in here.snapshots):
                raise RetryableError(f"{name} has not got the snapshot that was received", slug="zfs-broken")
            if not here.readonly or here.canmount != "noauto":  # an old receive cannot set them itself
                await self.host.put(name, canmount="noauto", readonly="on")

    def _watch(self, done: int) -> None:
        self.emit(Progress(f"files {self.fileset}", self.bytes + done, None))

    async def _local(self, step: plan.Step, source: Tree) -> None:
        """A step without a stream."""
        match step:
            case plan.Abort(path, at_side):
                await self.host.run("zfs", "receive", "-A", self._name(path, at_side))
            case plan.Clone(path, base):
                await beside.clone(self.host, self.root, path, base)
            case plan.Promote(path):
                await self.host.run("zfs", "promote", self._name(path, True))
            case plan.PutAway():
                await beside.put_away(self.host, incoming(self.root), self.root)
            case plan.Swap():
                await self._swap(source)
            case plan.Gone(path):
                await self.host.put(self._name(path), **{names.GONE: "yes"})
                text = f"{self._name(path)} is gone at the source; it stays here, and is not mounted at a failover"
                self.emit(Note(text, level="warning"))
            case plan.Back(path):
                await self.host.run("zfs", "inherit", names.GONE, self._name(path))

    async def _swap(self, source: Tree) -> None:
        old, made = await self._look()
        top = None
        if old is not None and made is not None and _cloned(old, made):
            top = plan.base(source.datasets[0], made.datasets[0])
        since = top[1].created if top is not None else None
        await beside.swap(self.host, self.root, self.path, lambda dataset: self.going(dataset, since))

    async def _finish(self, source: Tree, target: Tree | None) -> None:
        """Tell the source what is here, and prune."""
        if target is None:
            raise FinalError(f"{self.root} is gone", slug="zfs-no-dataset")
        self.here = target
        common = [
            found[1].guid
            for each in source.datasets
            if (here := target.get(each.path)) is not None and (found := plan.base(each, here)) is not None
        ]
        self.problem = await ask.landed(self.door, self.fileset, common)
        keep = self.counting.keeps() if self.counting is not None else frozenset[int]()
        failed = await prune(self.host, target, self.rules, frozenset(common), keep)
        self.problem = self.problem or failed


def _before(target: Tree, counting: Counting) -> str:
    """Which snapshot is from before that."""
    last = bases(target, counting.record.counted).get("")
    if last is None:
        return "What was there before is in the copy's older snapshots (files list)"
    moment = datetime.fromtimestamp(last.created, UTC)
    return f"The copy's newest snapshot has it; one of before is that of {moment:%Y-%m-%d %H:%M:%S} UTC (files list)"


def _have(*trees: Tree | None) -> list[int]:
    """The newest guids of each dataset here."""
    found: list[int] = []
    for tree in trees:
        for each in tree.datasets if tree is not None else ():
            found += [one.guid for one in each.snapshots[-ask.HAVE :]]
    return found


def _partial(*trees: Tree | None) -> list[int]:
    """What has begun to arrive."""
    return [each.token_guid for tree in trees if tree is not None for each in tree.datasets if _begun(each)]  # type: ignore[misc]


def _cloned(old: Tree, made: Tree) -> bool:
    """Whether the copy beside began at a snapshot of the old one, which became the clone when that was promoted. One
    that was sent whole has nothing in common with it."""
    return (old.datasets[0].origin or "").startswith(f"{made.root}@")


def _begun(dataset: Dataset) -> bool:
    return dataset.token_guid is not None
