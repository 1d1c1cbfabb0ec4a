"""What must hold of a round of ZFS replication, whatever has happened at either side before."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from secondsite.files.zfs import plan, retain
from secondsite.files.zfs.model import Dataset, Snapshot
from secondsite.files.zfs.names import below, incoming
from secondsite.spec.retention import Keep
from tests.unit.zfs_worlds import ROOT, Counter, Pool, World, ours

many = settings(max_examples=300)
PATHS = ("", "kid", "kid/deep", "other")
paths = st.sampled_from(PATHS)
acts = st.one_of(
    st.tuples(st.just("write"), paths),
    st.tuples(st.just("snapshot"), st.just("")),
    st.tuples(st.just("foreign"), paths),
    st.tuples(st.just("bookmark"), paths),
    st.tuples(st.just("prune"), paths),
    st.tuples(st.just("create"), paths),
    st.tuples(st.just("destroy"), paths),
    st.tuples(st.just("rename"), st.just("other")),
    st.tuples(st.just("rename back"), st.just("other")),
    st.tuples(st.just("written here"), paths),
    st.tuples(st.just("snapshot here"), paths),
    st.tuples(st.just("round"), st.just("")),
    st.tuples(st.just("killed"), st.integers(0, 6)),
    st.tuples(st.just("cut"), st.integers(0, 6)),
    st.tuples(st.just("change sides"), st.just("")),
)
histories = st.tuples(st.booleans(), st.booleans(), st.lists(acts, max_size=25))


def played(resumes: bool, tells: bool, history: list[tuple[str, str | int]]) -> World:
    """Two pools after ``history``; nothing that the copy ever held may vanish from it, whatever was carried out."""
    counter = Counter()
    world = World(Pool(counter, resumes, tells), Pool(counter, resumes, tells))
    world.source.create(ROOT)
    world.target.create(ROOT)
    for act, where in history:
        before = world.target.contents()
        play(world, act, where)
        if act in ("round", "killed", "cut"):
            assert before <= world.target.contents(), f"{act} has lost something"
    return world


def play(world: World, act: str, where: str | int) -> None:
    there, here = world.source, world.target
    name = below(ROOT, where) if isinstance(where, str) else ROOT
    if act == "write" and name in there.sets:
        there.write(name)
    elif act == "snapshot":
        there.snapshot(ROOT, ours(there.counter))
    elif act == "foreign" and name in there.sets:
        there.snapshot(name, f"auto-{len(there.sets[name].snapshots)}-{there.counter.next()}", deep=False)
    elif act == "bookmark" and name in there.sets and there.sets[name].snapshots:
        taken = there.sets[name].snapshots[-1][0]
        if taken.guid not in {each.guid for each in there.sets[name].bookmarks}:
            there.sets[name].bookmarks.append(Snapshot(taken.name, taken.guid, taken.txg, bookmark=True))
    elif act == "prune" and name in there.sets:
        taken_from = {each.origin[1] for each in there.sets.values() if each.origin is not None}
        first = there.sets[name].snapshots[:1]
        if first and first[0][0].guid not in taken_from:
            del there.sets[name].snapshots[0]
    elif act == "create" and name not in there.sets and name.rpartition("/")[0] in there.sets:
        there.create(name)
    elif act == "destroy" and name != ROOT:
        destroy(there, name)
    elif act == "rename" and name in there.sets and f"{ROOT}/moved" not in there.sets:
        there.rename(name, f"{ROOT}/moved")
    elif act == "rename back" and f"{ROOT}/moved" in there.sets and name not in there.sets:
        there.rename(f"{ROOT}/moved", name)
    elif act == "written here" and name in here.sets:
        here.write(name)
    elif act == "snapshot here" and name in here.sets:
        here.snapshot(name, f"local-{here.counter.next()}", deep=False)
    elif act == "round":
        there.snapshot(ROOT, ours(there.counter))
        world.carry_out(agreed=True)
    elif act in ("killed", "cut") and isinstance(where, int):
        there.snapshot(ROOT, ours(there.counter))
        world.carry_out(agreed=True, most=where, cut=act == "cut")
    elif act == "change sides" and ROOT in here.sets:
        world.source, world.target = here, there


def destroy(pool: Pool, name: str) -> None:
    """An administrator's `zfs destroy -r`, which clones forbid."""
    below_it = [each for each in pool.sets if each == name or each.startswith(name + "/")]
    guids = {taken.guid for each in below_it for taken, _ in pool.sets[each].snapshots}
    if not any(held.origin and held.origin[1] in guids for held in pool.sets.values()):
        for each in below_it:
            del pool.sets[each]


@many
@given(histories)
def test_after_a_round_both_sides_have_the_newest_and_a_second_round_does_nothing(
    world: tuple[bool, bool, list[tuple[str, str | int]]],
) -> None:
    now = played(*world)
    now.source.snapshot(ROOT, ours(now.source.counter))
    now.carry_out(agreed=True)
    tree = now.source.tree(ROOT)
    assert tree is not None
    for each in tree.datasets:
        there, here = now.source.sets[below(ROOT, each.path)], now.target.sets[below(ROOT, each.path)]
        wanted = plan.goal(each)
        assert wanted is not None
        assert wanted.guid in {taken.guid for taken, _ in here.snapshots}
        assert here.content == there.snapshots[-1][1]
        assert not here.gone
    assert incoming(ROOT) not in now.target.sets
    assert now.look(frozenset(), agreed=True).done


@many
@given(histories)
def test_every_increment_begins_at_what_both_sides_have(
    world: tuple[bool, bool, list[tuple[str, str | int]]],
) -> None:
    now = played(*world)
    made = now.look(frozenset(), agreed=False)
    here: dict[str, set[int]] = {
        path: {taken.guid for taken, _ in now.target.sets[below(ROOT, path)].snapshots}
        for path in PATHS
        if below(ROOT, path) in now.target.sets
    }
    for step in made.steps:
        if isinstance(step, plan.Increment):
            there = now.source.sets[below(ROOT, step.path)]
            assert step.base in {each.guid for each, _ in there.snapshots} | {each.guid for each in there.bookmarks}
            assert step.base in here[step.path]
            here[step.path].add(step.to)
        if isinstance(step, plan.Clone):
            assert step.base in here[step.path]


@many
@given(histories, paths)
def test_what_was_written_at_the_copy_blocks_until_somebody_agrees(
    world: tuple[bool, bool, list[tuple[str, str | int]]], path: str
) -> None:
    now = played(*world)
    now.source.snapshot(ROOT, ours(now.source.counter))
    now.carry_out(agreed=True)
    name = below(ROOT, path)
    if name not in now.source.sets:
        return
    now.target.write(name)
    written = now.target.sets[name].content
    now.source.write(name)
    now.source.snapshot(ROOT, ours(now.source.counter))
    state = (now.target.sets[name].content, list(now.target.sets[name].snapshots))
    stopped = now.carry_out(agreed=False)
    assert stopped.blocked is not None
    assert stopped.parted == (path,)
    assert state == (now.target.sets[name].content, list(now.target.sets[name].snapshots))
    now.carry_out(agreed=True)
    assert now.target.sets[name].content == now.source.sets[name].content
    kept = [each for each, held in now.target.sets.items() if held.content == written]
    assert kept and all("-aside-" in each for each in kept)


rules = st.lists(st.builds(Keep, st.sampled_from([60.0, 600.0]), st.sampled_from([600.0, 3600.0])), max_size=2)


@many
@given(histories, rules, st.floats(0, 10_000))
def test_pruning_never_takes_the_last_common_base_nor_what_is_not_ours(
    world: tuple[bool, bool, list[tuple[str, str | int]]], kept: list[Keep], now: float
) -> None:
    both = played(*world)
    before = {path: max_common(both, path) for path in PATHS}
    foreign = {each for pool in (both.source, both.target) for each in names_of(pool) if "secondsite-2" not in each[1]}
    for _ in range(2):  # each side for itself, one after the other, and again
        both.prune(both.source, tuple(kept), now)
        both.prune(both.target, tuple(kept), now)
    assert before == {path: max_common(both, path) for path in PATHS}
    assert foreign <= {each for pool in (both.source, both.target) for each in names_of(pool)}


def max_common(world: World, path: str) -> int | None:
    """The guid of the newest common one, by the source's order."""
    common = world.common(path)
    there = world.source.sets.get(below(ROOT, path))
    taken = [*there.bookmarks, *(each for each, _ in there.snapshots)] if there is not None else []
    known = [each for each in taken if each.guid in common]
    return max(known, key=lambda each: each.txg).guid if known else None


def names_of(pool: Pool) -> set[tuple[int, str]]:
    return {(taken.guid, taken.name) for held in pool.sets.values() for taken, _ in held.snapshots}


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=60), st.integers(0, 120_000), rules)
def test_what_is_kept_is_bounded_and_neither_what_is_held_nor_the_newest_goes(
    times: list[int], now: int, kept: list[Keep]
) -> None:
    taken = tuple(
        Snapshot(f"secondsite-20261122T163000Z-{n:08x}", n + 1, n, created=at, held=n % 7 == 3)
        for n, at in enumerate(times)
    )
    gone = retain.removable(Dataset("", 1, taken), kept, now=now, bases={taken[-1].guid})
    assert taken[-1] not in gone
    assert not any(each.held for each in gone)
    left = [each for each in taken if each not in gone and not each.held]
    assert len(left) <= 1 + sum(2 * rule.number + 1 for rule in kept)
    assert retain.removable(Dataset("", 1, taken), kept, now=now, bases=set()) == ()
