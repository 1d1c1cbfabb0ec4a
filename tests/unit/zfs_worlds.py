"""Two pools that behave as ZFS does, in memory: what it refuses is refused here, so that a plan can be carried out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from secondsite.files.versions.retention import Rule
from secondsite.files.zfs import names, plan, retain
from secondsite.files.zfs.model import Dataset, Snapshot, Tree
from secondsite.files.zfs.names import below, incoming
from secondsite.files.zfs.plan import Plan

ROOT = "tank/up"


class Refused(Exception):
    """What zfs(8) would refuse."""


class Broken(Exception):
    """The line was cut in the middle of a receive."""


@dataclass
class Held:
    """A file system: content is a number that stands for all its files."""

    guid: int
    content: int = 0
    snapshots: list[tuple[Snapshot, int]] = field(default_factory=list)
    bookmarks: list[Snapshot] = field(default_factory=list)
    token: int | None = None
    origin: tuple[str, int] | None = None
    gone: bool = False


@dataclass
class Counter:
    """Guids and contents that never come twice, in either pool."""

    last: int = 0

    def next(self) -> int:
        self.last += 1
        return self.last


@dataclass
class Pool:
    counter: Counter
    resumes: bool = True
    tells_written: bool = True
    txg: int = 0
    sets: dict[str, Held] = field(default_factory=dict)

    def create(self, name: str) -> None:
        self.sets[name] = Held(self.counter.next())

    def write(self, name: str) -> None:
        self.sets[name].content = self.counter.next()

    def snapshot(self, root: str, name: str, *, deep: bool = True) -> None:
        self.txg += 1
        for each, held in self.sets.items():
            if each == root or (deep and each.startswith(root + "/")):
                if any(taken.name == name for taken, _ in held.snapshots):
                    raise Refused("dataset already exists")
                self._add(held, name, self.counter.next(), held.content)

    def _add(self, held: Held, name: str, guid: int, content: int) -> None:
        self.txg += 1
        held.snapshots.append((Snapshot(name, guid, self.txg, created=self.txg * 60), content))

    def tree(self, root: str) -> Tree | None:
        if root not in self.sets:
            return None
        found = sorted(each for each in self.sets if each == root or each.startswith(root + "/"))
        return Tree(root, tuple(self._dataset(each, each[len(root) + 1 :]) for each in found))

    def _dataset(self, name: str, path: str) -> Dataset:
        held = self.sets[name]
        before: int | None = None
        taken = []
        for snapshot, content in held.snapshots:
            taken.append(replace(snapshot, written=int(content != before) if self.tells_written else None))
            before = content
        token = "1-a-b-c" if held.token is not None else None
        origin = f"{held.origin[0]}@{held.origin[1]}" if held.origin is not None else None
        return Dataset(
            path,
            held.guid,
            tuple(taken),
            tuple(held.bookmarks),
            written=int(held.content != before) if self.tells_written else None,
            token=token,
            token_guid=held.token,
            origin=origin,
            gone=held.gone,
        )

    def find(self, name: str, guid: int) -> tuple[Snapshot, int]:
        return next(each for each in self.sets[name].snapshots if each[0].guid == guid)

    def receive(self, name: str, sent: tuple[Snapshot, int], since: int | None, *, cut: bool) -> None:
        """dmu_recv_begin_check, as far as it matters here; never with -F."""
        if since is None:
            if name in self.sets and self.sets[name].token != sent[0].guid:
                raise Refused("exists")
            if "/" in name and name.rpartition("/")[0] not in self.sets and name.rpartition("/")[0] != "tank":
                raise Refused("no parent")
            if cut and not self.resumes:
                raise Broken
            held = self.sets.setdefault(name, Held(self.counter.next()))
        else:
            held = self.sets[name]
            known = next((each for each in held.snapshots if each[0].guid == since), None)
            if known is None:
                raise Refused("does not match the incremental source")
            later = [content for each, content in held.snapshots if each.txg > known[0].txg]
            if any(content != known[1] for content in (*later, held.content)):
                raise Refused("has been modified")
            if any(each.name == sent[0].name for each, _ in held.snapshots):
                raise Refused("name is taken")
        if cut:
            held.token = sent[0].guid if self.resumes else None
            raise Broken
        held.token, held.content = None, sent[1]
        self._add(held, sent[0].name, sent[0].guid, sent[1])

    def clone(self, name: str, guid: int, to: str) -> None:
        taken, content = self.find(name, guid)
        if to in self.sets:
            raise Refused("exists")
        self.sets[to] = Held(self.counter.next(), content, origin=(name, taken.guid))

    def promote(self, name: str) -> None:
        """zfs(8): the snapshots up to the origin become the clone's, and its former owner becomes the clone."""
        clone = self.sets[name]
        if clone.origin is None:
            raise Refused("not a clone")
        owner, guid = clone.origin
        above = self.sets[owner]
        at = next(number for number, each in enumerate(above.snapshots) if each[0].guid == guid)
        clone.snapshots, above.snapshots = above.snapshots[: at + 1], above.snapshots[at + 1 :]
        clone.origin, above.origin = above.origin, (name, guid)

    def rename(self, name: str, to: str) -> None:
        if to in self.sets:
            raise Refused("exists")
        moved = {each: held for each, held in self.sets.items() if each == name or each.startswith(name + "/")}
        for each in moved:
            del self.sets[each]
        for each, held in moved.items():
            self.sets[to + each[len(name) :]] = held
        for held in self.sets.values():
            if held.origin is not None and (held.origin[0] == name or held.origin[0].startswith(name + "/")):
                held.origin = (to + held.origin[0][len(name) :], held.origin[1])

    def contents(self) -> set[int]:
        """Everything that can be read in this pool."""
        return {held.content for held in self.sets.values()} | {
            content for held in self.sets.values() for _, content in held.snapshots
        }


@dataclass
class World:
    """Two sites; the first is the source."""

    source: Pool
    target: Pool
    settled: bool = True

    def look(self, refused: frozenset[str], *, agreed: bool) -> Plan:
        tree = self.source.tree(ROOT)
        assert tree is not None
        here, beside = self.target.tree(ROOT), self.target.tree(incoming(ROOT))
        return plan.plan(tree, here, beside, agreed=agreed, refused=refused)

    def carry_out(self, *, agreed: bool, most: int = 10_000, cut: bool = False) -> Plan:
        """Rounds of planning until nothing is left, at most ``most`` steps; with ``cut`` the last one is cut in the
        middle. What is returned is the last plan."""
        refused: frozenset[str] = frozenset()
        for _ in range(60):
            now = self.look(refused, agreed=agreed)
            for step in now.steps:
                if most <= 0:
                    return now
                most -= 1
                try:
                    self.step(step, cut=cut and most == 0)
                    if isinstance(step, plan.Swap):
                        refused = frozenset()
                except Broken:
                    return now
                except Refused as why:
                    if "modified" not in str(why):
                        raise
                    refused |= {step.path}  # type: ignore[union-attr]
                    break
            else:
                if not now.again:
                    return self.look(refused, agreed=agreed)
        raise AssertionError("it never comes to an end")

    def step(self, step: Any, *, cut: bool = False) -> None:
        here = self.target
        match step:
            case plan.Abort(path, beside):
                held = here.sets[self._name(path, beside)]
                held.token = None
                if not held.snapshots:
                    del here.sets[self._name(path, beside)]
            case plan.Resume(path, _, to, beside):
                name = self._name(path, beside)
                held, sent = here.sets[name], self.source.find(below(ROOT, path), to)
                here.receive(name, sent, held.snapshots[-1][0].guid if held.snapshots else None, cut=cut)
            case plan.Full(path, to, beside):
                here.receive(self._name(path, beside), self.source.find(below(ROOT, path), to), None, cut=cut)
            case plan.Increment(path, since, to):
                there = self.source.sets[below(ROOT, path)]
                assert since in {each.guid for each, _ in there.snapshots} | {each.guid for each in there.bookmarks}
                here.receive(below(ROOT, path), self.source.find(below(ROOT, path), to), since, cut=cut)
            case plan.Clone(path, base):
                here.clone(below(ROOT, path), base, self._name(path, True))
            case plan.Promote(path):
                here.promote(self._name(path, True))
            case plan.PutAway():
                here.rename(incoming(ROOT), f"{ROOT}-aside-{here.counter.next()}")
            case plan.Swap():
                if ROOT in here.sets:
                    here.rename(ROOT, f"{ROOT}-aside-{here.counter.next()}")
                here.rename(incoming(ROOT), ROOT)
            case plan.Gone(path):
                here.sets[below(ROOT, path)].gone = True
            case plan.Back(path):
                here.sets[below(ROOT, path)].gone = False

    def _name(self, path: str, beside: bool) -> str:
        return below(incoming(ROOT) if beside else ROOT, path)

    def common(self, path: str) -> set[int]:
        """Guids that both have of one dataset."""
        name = below(ROOT, path)
        if name not in self.source.sets or name not in self.target.sets:
            return set()
        there = self.source.sets[name]
        known = {each.guid for each, _ in there.snapshots} | {each.guid for each in there.bookmarks}
        return known & {each.guid for each, _ in self.target.sets[name].snapshots}

    def prune(self, pool: Pool, rules: tuple[Rule, ...], now: float) -> None:
        tree = pool.tree(ROOT)
        for each in tree.datasets if tree is not None else ():
            gone = {one.guid for one in retain.removable(each, rules, now=now, bases=self.common(each.path))}
            held = pool.sets[below(ROOT, each.path)]
            origins = {other.origin[1] for other in pool.sets.values() if other.origin is not None}
            held.snapshots = [one for one in held.snapshots if one[0].guid not in gone - origins]


def ours(counter: Counter) -> str:
    return names.snapshot(1_795_000_000.0, f"{counter.next():08x}")
