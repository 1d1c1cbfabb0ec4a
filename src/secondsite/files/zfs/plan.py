"""What a round has to do, from both sides' listings. Pure: nothing here touches a pool.

The common base is found by guid, never by a name; order is createtxg's, never a clock's. No step destroys a snapshot or
rolls one back. A copy that is not the source's any more is renamed aside, whole, once somebody has agreed: a tree is
made beside it (clones of the last common snapshots, which are then promoted, so that nothing is sent again), and only
a tree that is complete takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from secondsite.files.zfs.model import Dataset, Snapshot, Tree
from secondsite.files.zfs.names import ours


@dataclass(frozen=True, slots=True)
class Abort:
    """Give up a broken receive whose snapshot is gone at the source (`receive -A`)."""

    path: str
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a broken receive. to: guid of the snapshot."""

    path: str
    token: str
    to: int
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Full:
    """Receive a dataset that is not here."""

    path: str
    to: int
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Increment:
    """Receive one snapshot upon another, both by guid."""

    path: str
    base: int
    to: int


@dataclass(frozen=True, slots=True)
class Clone:
    """Begin the copy beside at the last common snapshot (its guid)."""

    path: str
    base: int


@dataclass(frozen=True, slots=True)
class Promote:
    """Let the clone have the snapshots up to its origin."""

    path: str


@dataclass(frozen=True, slots=True)
class PutAway:
    """The copy beside has nothing in common with the source any more: aside with it."""


@dataclass(frozen=True, slots=True)
class Swap:
    """What is here goes aside (where there is something), the copy beside takes its place."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The source has no such dataset any more: it stays, marked, and is not mounted at a failover."""

    path: str


@dataclass(frozen=True, slots=True)
class Back:
    """The source has it again."""

    path: str


Step = Abort | Resume | Full | Increment | Clone | Promote | PutAway | Swap | Gone | Back


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: in order; when ``again`` is true, look once more when they are done. blocked: why nothing is done."""

    steps: tuple[Step, ...] = ()
    again: bool = False
    blocked: str | None = None
    parted: tuple[str, ...] = ()  # datasets that differ from the source's

    @property
    def done(self) -> bool:
        return not self.steps and self.blocked is None


def base(source: Dataset, target: Dataset) -> tuple[Snapshot, Snapshot] | None:
    """The newest snapshot here that the source has too, as snapshot or bookmark: (the source's, the one here)."""
    for here in reversed(target.snapshots):
        there = source.with_guid(here.guid)
        if there is not None:
            return there, here
    return None


def modified(target: Dataset, since: Snapshot) -> bool:
    """Whether it is known to have been written to after ``since``. Snapshots that somebody took here of what did not
    change stand in nobody's way (dsl_dataset_modified_since_snap)."""
    newer = [each for each in target.snapshots if each.txg > since.txg]
    return any(each.written for each in newer) or bool(target.written)


def goal(source: Dataset) -> Snapshot | None:
    """What a round must bring: the newest of ours, else the newest."""
    return next((each for each in reversed(source.snapshots) if ours(each.name)), source.newest)


def plan(
    source: Tree,
    target: Tree | None,
    beside: Tree | None,
    *,
    agreed: bool,
    refused: frozenset[str] = frozenset(),
) -> Plan:
    """The next steps of a round. beside: the copy that is being made beside, where there is one. agreed: what differs
    may go aside. refused: datasets of which `zfs receive` has said that they were written to here; not every ZFS says
    it in a listing.
    """
    if beside is not None:
        return _beside(source, target, beside)
    if target is None:
        return Plan(blocked="there is no dataset here to receive into")
    parted = tuple(each.path for each in source.datasets if _parted(each, target.get(each.path), refused))
    if parted and not agreed:
        return Plan(blocked=_why(parted, source, target), parted=parted)
    if parted:
        return _begin(source, target, parted)
    return _follow(source, target)


def _parted(source: Dataset, target: Dataset | None, refused: frozenset[str]) -> bool:
    if target is None or source.newest is None:
        return False
    common = base(source, target)
    if common is None:
        return target.token is None or bool(target.snapshots)  # a first receive that was broken off has none
    return modified(target, common[1]) or source.path in refused


def _why(parted: tuple[str, ...], source: Tree, target: Tree) -> str:
    first = source.get(parted[0])
    here = target.get(parted[0])
    name = f"{target.root}/{parted[0]}" if parted[0] else target.root
    more = f" (and {len(parted) - 1} more)" if len(parted) > 1 else ""
    if first is not None and here is not None and base(first, here) is not None:
        return f"{name}{more} was written to here since the last common snapshot; nothing is rolled back"
    return f"{name}{more} has no snapshot in common with the source; nothing is received over it"


# --- the copy that is here -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Steps:
    steps: list[Step] = field(default_factory=list)
    again: bool = False
    blocked: str | None = None


def _follow(source: Tree, target: Tree) -> Plan:
    made = _Steps()
    for each in source.datasets:
        here = target.get(each.path)
        if here is not None and here.gone:
            made.steps.append(Back(each.path))
        if here is None:
            first = goal(each)
            if first is not None:
                made.steps.append(Full(each.path, first.guid))
                made.again = True
        elif here.token is not None:
            made.steps.append(_broken(each, here, beside=False))
            made.again = True
        else:
            _increments(each, here, made)
    known = {each.path for each in source.datasets}
    made.steps += [Gone(each.path) for each in target.datasets if each.path not in known and not each.gone]
    return Plan(tuple(made.steps), made.again, made.blocked)


def _broken(source: Dataset, here: Dataset, *, beside: bool) -> Step:
    assert here.token is not None
    wanted = next((each for each in source.snapshots if each.guid == here.token_guid), None)
    if wanted is None:
        return Abort(here.path, beside)
    return Resume(here.path, here.token, wanted.guid, beside)


def _increments(source: Dataset, here: Dataset, made: _Steps) -> None:
    """One step a snapshot, so that none in between is lost. A name that something else has here cannot be received."""
    common = base(source, here)
    if common is None:
        return
    last, taken = common[0], {each.name for each in here.snapshots}
    wanted = goal(source)
    for each in source.snapshots:
        if each.txg <= last.txg:
            continue
        if each.name in taken:
            if wanted is not None and each.guid == wanted.guid:
                made.blocked = f"a snapshot {each.name} that is another one is here already"
            continue
        made.steps.append(Increment(source.path, last.guid, each.guid))
        last = each


# --- a copy that is made beside it ---------------------------------------------------------------------------------


def _begin(source: Tree, target: Tree, parted: tuple[str, ...]) -> Plan:
    return Plan(_make(source.datasets[0], target), again=True, parted=parted)


def _beside(source: Tree, target: Tree | None, beside: Tree) -> Plan:
    """Go on with it, wherever a killed run has left it: one dataset at a time, then the swap."""
    for each in source.datasets:
        here = beside.get(each.path)
        if here is None:
            steps = _make(each, target)
            if steps:
                return Plan(steps, again=True)
        elif here.token is not None:
            return Plan((_broken(each, here, beside=True),), again=True)
        elif base(each, here) is None:
            if here.origin is not None and not here.snapshots:
                return Plan((Promote(each.path),), again=True)
            if each.newest is not None:
                return Plan((PutAway(),), again=True)
    return Plan((Swap(),), again=True)


def _make(source: Dataset, target: Tree | None) -> tuple[Step, ...]:
    here = target.get(source.path) if target is not None else None
    common = base(source, here) if here is not None else None
    if common is not None:
        return Clone(source.path, common[1].guid), Promote(source.path)
    wanted = goal(source)
    return (Full(source.path, wanted.guid, beside=True),) if wanted is not None else ()
