"""Rounds between two real pools (zfs-fuse: no resume tokens, no bookmarks, no `written`), and what must not happen."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from secondsite.errors import FinalError, RetryableError
from secondsite.files import parting
from secondsite.files import store as records
from secondsite.files.choice import chosen
from secondsite.files.engine import Rsync, allow_deletions
from secondsite.files.offer.call import call
from secondsite.files.store import PULLED, SOURCE
from secondsite.files.zfs import ask, engine, names, offered
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.engine import Zfs
from secondsite.files.zfs.offered import Offer
from secondsite.spec import retention
from secondsite_lab.testing import running_lab
from tests.integration.zfs_sites import TOKEN, Killed, Machine, Pair, cut_after, kills_after, machine, pair

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def zfs_host() -> Iterator[Machine]:
    with running_lab(f"zfs-{os.getpid()}") as lab, machine(lab) as ready:
        yield ready


@pytest.fixture
async def sites(zfs_host: Machine, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(zfs_host, tmp_path) as both:
        yield both


async def test_the_first_round_sends_everything_and_the_next_what_is_new(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    first = await sites.round()
    assert (first.complete, first.reason) == (True, None)
    assert sites.bergen.read(sites.bergen.root, "a") == "one"
    (sites.oslo.seen / "a").write_text("two")
    second = await sites.round()
    assert second.complete and 0 < second.bytes < 100_000
    assert sites.bergen.read(sites.bergen.root, "a") == "two"
    copy = (await sites.bergen.tree()).datasets[0]
    assert (copy.mounted, copy.readonly, copy.canmount, copy.mountpoint) == (False, True, "noauto", sites.bergen.path)
    assert sites.bergen.record.complete_at is not None
    assert sites.bergen.record.engine == "zfs"


async def test_every_snapshot_in_between_arrives_the_foreign_ones_too_and_datasets_below(sites: Pair) -> None:
    await sites.begin()
    sites.oslo.zfs(f"create {sites.oslo.root}/kid")
    for number in range(3):
        (sites.oslo.seen / "kid" / "a").write_text(str(number))
        sites.oslo.zfs(f"snapshot -r {sites.oslo.root}@hourly.{number}")
    assert (await sites.round()).complete
    (sites.oslo.seen / "kid" / "a").write_text("last")
    sites.oslo.zfs(f"snapshot {sites.oslo.root}/kid@by-hand")
    assert (await sites.round()).complete
    assert await sites.oslo.guids() == await sites.bergen.guids()
    assert (await sites.oslo.guids("kid"))[-2:] == (await sites.bergen.guids("kid"))[-2:]
    assert sites.bergen.read(f"{sites.bergen.root}/kid", "a") == "last"


async def test_a_dataset_that_is_gone_at_the_source_stays_and_is_not_mounted_at_a_failover(sites: Pair) -> None:
    sites.oslo.zfs(f"create {sites.oslo.root}/kid")
    (sites.oslo.seen / "kid" / "a").write_text("kept")
    await sites.begin()
    for held in sites.oslo.zfs(f"get -Hr -o name userrefs {sites.oslo.root}/kid").split():
        if "@" in held:
            sites.oslo.zfs(f"release {names.TAG} {held}", check=False)
    # On a busy machine zfs-fuse closes a file a moment after whoever wrote it has gone on, and is busy until then.
    gone = f"zfs destroy -r {sites.oslo.root}/kid"
    sites.oslo.machine.sh(f"for n in $(seq 100); do {gone} && exit 0; sleep 0.2; done; {gone}")
    assert (await sites.round()).complete
    assert sites.bergen.read(f"{sites.bergen.root}/kid", "a") == "kept"
    await sites.bergen.engine(sites.oslo).promote()
    assert not (sites.bergen.seen / "kid" / "a").exists()


async def test_a_line_that_is_cut_in_the_middle_of_a_send_leaves_the_copy_as_it_was(sites: Pair) -> None:
    """The unsent snapshot does not become the base (which stopped a plain script for ever), and a round that failed is
    told as one (zrepl #516: "0 errors" for a month)."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    before, at = await sites.bergen.guids(), sites.bergen.record.complete_at
    (sites.oslo.seen / "big").write_bytes(os.urandom(6_000_000))
    async with cut_after(sites.oslo, 1_000_000) as broken:
        for _ in range(2):
            failed = await sites.bergen.pull(broken)
            assert not failed.complete and failed.reason
    assert await sites.bergen.guids() == before
    assert (sites.bergen.record.complete_at, sites.bergen.record.outcome) == (at, "failed")
    assert (await sites.round()).complete
    assert (await sites.bergen.guids())[-1] == (await sites.oslo.guids())[-1]


async def test_rounds_that_fail_for_long_leave_few_snapshots_and_few_holds_at_the_source(sites: Pair) -> None:
    """zrepl #288: holds of a copy that did not come any more filled the sender."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    base = (await sites.oslo.guids())[-1]
    for _ in range(25):  # as each round does that breaks later
        await ask.start(door_of(sites), "up", [base], [])
    source = (await sites.oslo.tree()).datasets[0]
    assert len(source.snapshots) <= 23
    assert len([each for each in source.snapshots if each.held]) <= 2
    assert next(each for each in source.snapshots if each.guid == base).held
    assert (await sites.round()).complete


async def test_a_base_that_the_source_has_lost_blocks_and_an_agreement_keeps_the_old_copy(sites: Pair) -> None:
    """syncoid #376: the base was pruned while it was needed. Ours is held; an administrator may still let it go."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    base = (await sites.oslo.tree()).datasets[0].snapshots[-1]
    assert "dataset is busy" in sites.oslo.machine.sh(f"zfs destroy {sites.oslo.root}@{base.name} 2>&1", check=False)
    sites.oslo.zfs(f"release {names.TAG} {sites.oslo.root}@{base.name}")
    sites.oslo.zfs(f"destroy {sites.oslo.root}@{base.name}")
    before = await sites.bergen.guids()
    (sites.oslo.seen / "a").write_text("two")
    stopped = await sites.round()
    assert stopped.blocked and "no snapshot in common" in str(stopped.reason)
    assert await sites.bergen.guids() == before
    assert await allow_deletions(sites.bergen.fileset, sites.bergen.store) == 1
    assert (await sites.round()).complete
    assert sites.bergen.read(sites.bergen.root, "a") == "two"
    (kept,) = sites.asides(sites.bergen)
    assert sites.bergen.machine.sh(f"cat $(zfs get -Ho value mountpoint {kept})/a") == "one"


async def test_what_was_sent_in_a_moment_and_broke_off_is_held_too(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    (sites.oslo.seen / "big").write_bytes(os.urandom(4_000_000))
    async with cut_after(sites.oslo, 500_000) as broken:
        assert not (await sites.bergen.pull(broken)).complete
    async with asyncio.timeout(30):
        while not (await sites.oslo.tree()).datasets[0].snapshots[-1].held:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await sites.round()).complete


async def test_nobodys_pruning_takes_a_snapshot_while_it_is_sent_or_built_upon(sites: Pair) -> None:
    """syncoid #376: another job destroyed the base in the middle of a send."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    base = (await sites.oslo.guids())[-1]
    (sites.oslo.seen / "big").write_bytes(os.urandom(4_000_000))
    sites.oslo.offers["up"] = Offer(sites.oslo.path, bandwidth=500_000)
    sending = asyncio.ensure_future(sites.round())
    async with asyncio.timeout(30):
        while records.running("up", sites.bergen.store) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    async with asyncio.timeout(30):
        while not (await sites.oslo.tree()).datasets[0].snapshots[-1].held:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    before = await sites.oslo.guids()
    assert len(before) == 2 and before[0] == base
    prune = f"zfs list -H -t snapshot -o name -r {sites.oslo.root} | xargs -n 1 zfs destroy 2>&1"
    said = sites.oslo.machine.sh(prune, check=False)
    assert said.count("dataset is busy") == 2, said
    assert await sites.oslo.guids() == before
    assert not sending.done(), "it was pruned while it was sent"
    assert (await sending).complete
    assert (await sites.bergen.guids())[-1] == before[-1]


async def test_a_round_asks_for_what_the_last_one_left_and_again_where_something_else_is_here(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, start = list[list[int]](), ask.start

    async def counted(door: Door, fileset: str, have: list[int], partial: list[int]) -> ask.Answer:
        asked.append(have)
        return await start(door, fileset, have, partial)

    monkeypatch.setattr(ask, "start", counted)
    for number in range(3):
        (sites.oslo.seen / "a").write_text(f"{number}")
        assert (await sites.round()).complete
    assert len(asked) == 3 and asked[2][:-1] == asked[1], "one question a round, for what is here"
    old = await sites.bergen.tree()
    assert (await sites.round()).complete
    monkeypatch.setitem(engine.left_here, ("up", sites.bergen.store), old)  # another process has pulled since
    (sites.oslo.seen / "a").write_text("behind it")
    again = await sites.round()
    assert (again.complete, again.reason) == (True, None)
    assert len(asked) == 6 and asked[5][:-1] == asked[4]
    assert sites.bergen.read(sites.bergen.root, "a") == "behind it"
    assert await sites.bergen.guids() == await sites.oslo.guids()


@pytest.fixture
def in_oslo() -> Iterator[None]:
    """A source whose hours are local ones, with daylight saving."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Oslo")
        time.tzset()
        yield
    time.tzset()


class Clock:
    """What the source takes for the present, until it is told another."""

    def __init__(self, at: str) -> None:
        self.at = at

    def time(self) -> float:
        return datetime.fromisoformat(self.at).timestamp()


async def taken_at(sites: Pair, patch: pytest.MonkeyPatch, moments: Sequence[str]) -> list[str]:
    """The names of our snapshots after a round at each of these moments, all of which have arrived."""
    for number, at in enumerate(moments):
        patch.setattr(offered, "time", Clock(at))
        (sites.oslo.seen / "a").write_text(f"{number}")
        assert (await sites.round()).complete
        assert sites.bergen.read(sites.bergen.root, "a") == f"{number}"
    both = [(await site.tree()).datasets[0].snapshots for site in (sites.oslo, sites.bergen)]
    assert [each.guid for each in both[0]] == [each.guid for each in both[1]]
    return [each.name for each in both[0][-len(moments) :]]


async def test_snapshots_of_one_second_have_names_of_their_own(sites: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await sites.begin()
    taken = await taken_at(sites, monkeypatch, ["2026-11-22T03:12:00+00:00"] * 3)
    assert {each.rpartition("-")[0] for each in taken} == {"secondsite-20261122T031200Z"}
    assert len(set(taken)) == 3


@pytest.mark.usefixtures("in_oslo")
@pytest.mark.parametrize("hours", [(0, 1), (1, 0)], ids=["repeated", "set back"])
async def test_an_hour_that_comes_twice_is_two_snapshots_and_the_newest_is_the_last_that_was_made(
    sites: Pair, monkeypatch: pytest.MonkeyPatch, hours: tuple[int, int]
) -> None:
    """Half past two, in the night in which summer time ends. No digits tell them apart here."""
    await sites.begin()
    monkeypatch.setattr(offered, "digits", lambda: "00000000")
    moments = [f"2026-10-25T0{hour}:30:00+00:00" for hour in hours]
    assert {time.localtime(datetime.fromisoformat(at).timestamp()).tm_hour for at in moments} == {2}
    taken = await taken_at(sites, monkeypatch, moments)
    assert taken == [f"secondsite-20261025T0{hour}3000Z-00000000" for hour in hours]


async def test_what_was_written_at_the_copy_is_neither_rolled_back_nor_lost(sites: Pair) -> None:
    """syncoid #558: receiving with -F destroys what only the target has."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    copy = sites.bergen
    copy.machine.sh(f"zfs set readonly=off {copy.root} && zfs mount {copy.root} && echo mine > {copy.path}/mine")
    copy.zfs(f"snapshot {copy.root}@mine")
    (sites.oslo.seen / "a").write_text("two")
    stopped = await sites.round()
    assert stopped.blocked and stopped.held_back == 1
    assert "was written to here" in str(stopped.reason)
    assert copy.read(copy.root, "mine") == "mine"
    await allow_deletions(copy.fileset, copy.store)
    agreed = await sites.round()
    assert agreed.complete and agreed.bytes < 100_000  # nothing is sent twice
    assert copy.read(copy.root, "a") == "two"
    (kept,) = sites.asides(copy)
    assert copy.read(kept, "mine") == "mine"
    (listed,) = (copy.store / "lost").glob("*.json")
    body = json.loads(listed.read_text())
    assert "mine" in [one["path"] for one in body["files"]]
    assert copy.machine.sh(f"cat {next(one['kept'] for one in body['files'] if one['path'] == 'mine')}") == "mine"


async def test_snapshots_of_the_same_name_are_told_apart_by_their_guid(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    sites.bergen.zfs(f"snapshot {sites.bergen.root}@daily")
    (sites.oslo.seen / "a").write_text("two")
    sites.oslo.zfs(f"snapshot {sites.oslo.root}@daily")
    assert (await sites.round()).complete
    assert sites.bergen.read(sites.bergen.root, "a") == "two"
    there, here = await sites.oslo.tree(), await sites.bergen.tree()
    found = [next(one.guid for one in tree.datasets[0].snapshots if one.name == "daily") for tree in (there, here)]
    assert found[0] != found[1]


async def test_snapshots_that_may_go_are_removed_several_at_once(sites: Pair) -> None:
    """The removal of each makes the pool write all that it has: no round has to wait for that."""
    await sites.begin()
    counts = []
    for number in range(offered.PRUNE_AT + 4):
        (sites.oslo.seen / "a").write_text(str(number))
        assert (await sites.round()).complete
        counts.append(len(await sites.bergen.guids()))
    assert counts[:3] == [2, 3, 4]
    assert max(counts) <= offered.PRUNE_AT + 1
    assert counts[-1] < max(counts)
    assert len(await sites.oslo.guids()) <= offered.PRUNE_AT + 2


async def test_each_side_prunes_what_is_ours_and_nothing_else_and_keeps_the_base(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offered, "PRUNE_AT", 1)
    await sites.begin()
    for number in range(4):
        (sites.oslo.seen / "a").write_text(str(number))
        sites.oslo.zfs(f"snapshot {sites.oslo.root}@auto.{number}")
        sites.bergen.zfs(f"snapshot {sites.bergen.root}@local.{number}")
        assert (await sites.round()).complete
    for site in (sites.oslo, sites.bergen):
        taken = [each.name for each in (await site.tree()).datasets[0].snapshots]
        # The source lets go of the base of before only when the next one has landed, behind the round; the copy
        # keeps the one at which its files were counted last.
        assert len([each for each in taken if names.ours(each)]) == 2, taken
        assert {f"auto.{number}" for number in range(4)} <= set(taken)
    assert {f"local.{number}" for number in range(4)} <= {
        each.name for each in (await sites.bergen.tree()).datasets[0].snapshots
    }
    sites.oslo.offers["up"] = Offer(sites.oslo.path, retention.parse("24h hourly"))
    for _ in range(3):
        assert (await sites.round()).complete
    mine = [each for each in (await sites.oslo.tree()).datasets[0].snapshots if names.ours(each.name)]
    assert len(mine) in (2, 3, 4)  # the first of this hour (or of two), the base, and the one before


async def test_two_rounds_at_once_wait_for_one_another(sites: Pair) -> None:
    """syncoid #696 looks for other runs with ps; ours is a lock that dies with its holder."""
    (sites.oslo.seen / "a").write_text("one")
    both = await asyncio.gather(sites.round(), sites.round())
    assert [each.complete for each in both] == [True, True]
    async with records.locked("up", seconds=1, store=sites.bergen.store):
        with pytest.raises(RetryableError, match="another process"):
            await sites.bergen.pull(sites.oslo, timeout=0.2)


async def test_a_round_that_is_killed_on_the_way_aside_is_carried_on_by_the_next(sites: Pair) -> None:
    """The way aside is the longest: clone, promote, two renames and what belongs to them."""
    copy = sites.bergen
    await sites.begin()
    for number in (0, 7, 14, 17, 18, 19, 20):  # from the third on, what went aside before is mounted
        (sites.oslo.seen / "a").write_text(f"new {number}")
        await part(sites, f"mine {number}")
        try:
            async with kills_after(copy, number) as host:
                await Zfs(copy.fileset, copy.store, host=host, door=door_of(sites)).pull("127.0.0.1", 0, timeout=60)
            pytest.fail(f"it ended before its command {number}")
        except Killed:
            done = await sites.round()
        assert done.complete, (number, done)
        assert copy.read(copy.root, "a") == f"new {number}"
        assert any(contains(copy.machine, each, f"mine {number}") for each in [*sites.asides(copy)]), number
        assert (await copy.tree()).datasets[0].mountpoint == copy.path, number


async def part(sites: Pair, text: str) -> None:
    """Somebody writes at the copy, and agrees that it goes aside."""
    copy = sites.bergen
    copy.machine.sh(f"zfs set readonly=off {copy.root}; zfs mount {copy.root} && echo '{text}' > {copy.path}/mine")
    record = copy.record
    records.save("up", replace(record, settled=False), copy.store)


def contains(machine: Machine, dataset: str, text: str) -> bool:
    machine.sh(f"zfs mount {dataset}", check=False)
    folder = machine.sh(f"zfs get -Ho value mountpoint {dataset}")
    if folder == "none":
        machine.sh(f"zfs set mountpoint=/{dataset} {dataset}; zfs mount {dataset}", check=False)
        folder = f"/{dataset}"
    return text in machine.sh(f"cat {folder}/mine", check=False)


def door_of(sites: Pair) -> Door:
    return Door("127.0.0.1", sites.oslo.port, lambda: TOKEN)


async def test_the_copy_becomes_the_original_and_the_old_original_its_copy_and_back(sites: Pair) -> None:
    oslo, bergen = sites.oslo, sites.bergen
    oslo.zfs(f"create {oslo.root}/kid")
    (oslo.seen / "a").write_text("one")
    (oslo.seen / "kid" / "b").write_text("below")
    await asyncio.sleep(1.1)  # a snapshot's creation is told in whole seconds
    await sites.begin()
    (oslo.seen / "lost").write_text("never received")
    await bergen.engine(oslo).promote()
    await bergen.engine(oslo).promote()  # repeatable
    assert bergen.record.role == SOURCE
    assert [(bergen.seen / name).read_text() for name in ("a", "kid/b")] == ["one", "below"]
    (bergen.seen / "a").write_text("after the disaster")
    with pytest.raises(FinalError) as refused:
        await bergen.pull(oslo)
    assert refused.value.slug == "files-are-source"
    parted = parting.Left(1, "0/5000A0")
    await parting.note(oslo.engine(bergen).fileset, None, oslo.store, left=parted)  # as a site is given up
    back = await oslo.pull(bergen)
    assert back.complete, back
    assert oslo.read(oslo.root, "a") == "after the disaster"
    (kept,) = sites.asides(oslo)
    (listed,) = (oslo.store / "lost").glob("*.json")
    body = json.loads(listed.read_text())
    assert [one["path"] for one in body["files"]] == ["lost"]
    assert parting.Left(body["generation"], body["since"]) == parted
    assert parting.noted(oslo.engine(bergen).fileset.name, oslo.store) == {}, "a later parting is another"
    assert oslo.machine.sh(f"cat {body['files'][0]['kept']}") == "never received"
    assert f"zfs:{kept}" in body["kept_in"]
    await oslo.engine(bergen).promote()
    await bergen.engine(oslo).demote()
    assert bergen.record.role == PULLED
    (oslo.seen / "a").write_text("home again")
    assert (await sites.round()).complete
    assert bergen.read(bergen.root, "a") == "home again"


async def test_a_planned_move_misses_nothing_and_has_nothing_to_list(sites: Pair) -> None:
    oslo, bergen = sites.oslo, sites.bergen
    (oslo.seen / "a").write_text("one")
    await sites.begin()
    (oslo.seen / "last").write_text("just before the move")
    await asyncio.sleep(1.1)  # a snapshot's creation is told in whole seconds
    assert (await sites.round()).complete  # the last pull: nobody writes any more
    assert (await bergen.engine(oslo).verify("127.0.0.1", 0, timeout=60)).differing == 0
    await bergen.engine(oslo).promote()
    assert (bergen.seen / "last").read_text() == "just before the move"
    (bergen.seen / "after").write_text("moved")
    assert (await oslo.pull(bergen)).complete
    assert not [*(oslo.store / "lost").glob("*.json")]
    assert (await oslo.engine(bergen).verify("127.0.0.1", 0, timeout=60)).differing == 0
    assert oslo.read(oslo.root, "after") == "moved"


async def test_what_stands_in_the_empty_folder_is_moved_beside_it_when_the_copy_is_mounted(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    sites.bergen.seen.mkdir(exist_ok=True)
    (sites.bergen.seen / "stray").write_text("somebody's")
    await sites.bergen.engine(sites.oslo).promote()
    assert (sites.bergen.seen / "a").read_text() == "one"
    (beside,) = sites.bergen.seen.parent.glob(f"{sites.bergen.seen.name}.secondsite-aside-*")
    assert (beside / "stray").read_text() == "somebody's"


async def test_a_failover_ends_a_receive_that_runs(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    (sites.oslo.seen / "big").write_bytes(os.urandom(8_000_000))
    sites.oslo.offers["up"] = Offer(sites.oslo.path, bandwidth=500_000)
    began = asyncio.get_running_loop().time()
    running = asyncio.ensure_future(sites.round())
    await asyncio.sleep(3)
    assert records.running("up", sites.bergen.store) is not None
    await sites.bergen.engine(sites.oslo).promote()
    ended = await running
    assert not ended.complete
    assert asyncio.get_running_loop().time() - began < 12  # unhindered it takes 16 s
    assert sites.bergen.record.role == SOURCE
    assert (sites.bergen.seen / "a").read_text() == "one"


async def test_a_file_that_is_open_at_the_former_original_is_said_and_not_written_over(sites: Pair) -> None:
    (sites.bergen.seen / "mine").write_text("in use")
    with (sites.bergen.seen / "mine").open():
        refused = await sites.round()
        assert not refused.complete and "still in use" in str(refused.reason)
    await sites.begin()


async def test_auto_takes_zfs_where_both_have_a_dataset_and_rsync_elsewhere(sites: Pair, tmp_path: Path) -> None:
    copy, host = sites.bergen, sites.bergen.machine.host
    elsewhere = copy.fileset.model_copy(update={"path": str(tmp_path)})
    assert isinstance(await chosen(elsewhere, door_of(sites), store=tmp_path, host=host), Rsync)
    with pytest.raises(FinalError, match="no dataset's mount point here") as refused:
        await chosen(elsewhere.model_copy(update={"engine": "zfs"}), door_of(sites), store=tmp_path, host=host)
    assert refused.value.slug == "zfs-impossible"
    sites.oslo.offers["up"] = Offer("/srv")
    assert isinstance(await chosen(copy.fileset, door_of(sites), store=tmp_path, host=host), Rsync)
    with pytest.raises(FinalError, match="at the source"):
        asked = copy.fileset.model_copy(update={"engine": "zfs"})
        await chosen(asked, door_of(sites), store=tmp_path, host=host)
    sites.oslo.offers["up"] = Offer(sites.oslo.path)
    assert isinstance(await chosen(copy.fileset, door_of(sites), store=copy.store, host=host), Zfs)
    sites.oslo.offers["up"] = Offer("/srv")  # it stays so, whatever becomes of the source: rsync would write below it
    assert isinstance(await chosen(copy.fileset, door_of(sites), store=copy.store, host=host), Zfs)
    stopped = await sites.round()
    assert stopped.blocked and not stopped.complete


async def test_verify_says_whether_both_have_the_same_snapshots(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    engine = sites.bergen.engine(sites.oslo)
    assert (await engine.verify("127.0.0.1", 0, timeout=60)).differing == 0
    sites.oslo.zfs(f"create {sites.oslo.root}/kid")
    found = await engine.verify("127.0.0.1", 0, timeout=60)
    assert (found.differing, found.sample) == (1, ("kid",))


@pytest.mark.parametrize(
    "request_",
    [
        {"act": "round", "set": "other", "have": [], "partial": []},
        {"act": "round", "set": ["up"], "have": [], "partial": []},
        {"act": "round", "set": "up", "have": ["1; rm"], "partial": []},
        {"act": "round", "set": "up", "have": ["9" * 21], "partial": []},
        {"act": "round", "set": "up", "have": ["1"] * 3001, "partial": []},
        {"act": "send", "set": "up", "dataset": "../other", "to": "1"},
        {"act": "send", "set": "up", "dataset": "", "to": "-R"},
        {"act": "send", "set": "up", "dataset": "", "to": "oslo@x"},
        {"act": "resume", "set": "up", "token": "-n"},
        {"act": "resume", "set": "up", "token": "1-a-b-c"},
        {"act": "destroy", "set": "up"},
        {"set": "up"},
    ],
)
async def test_a_hostile_standby_gets_nothing_and_changes_nothing(sites: Pair, request_: dict[str, object]) -> None:
    sites.oslo.zfs(f"snapshot {sites.oslo.root}@mine")
    secret = f"{sites.oslo.pool}/secret"
    sites.oslo.zfs(f"create {secret}")
    sites.oslo.zfs(f"snapshot {secret}@mine")
    before = await sites.oslo.tree()
    line = await call("127.0.0.1", sites.oslo.port, lambda: TOKEN, {"do": "zfs", **request_}, timeout=10)
    with line:
        line.setblocking(True)
        answer = await asyncio.to_thread(lambda: line.makefile("rb").read())
    assert "error" in json.loads(answer)
    assert await sites.oslo.tree() == before


async def test_a_hostile_standby_cannot_name_a_snapshot_of_another_dataset(sites: Pair) -> None:
    secret = f"{sites.oslo.pool}/secret"
    sites.oslo.zfs(f"create {secret}")
    sites.oslo.zfs(f"snapshot {secret}@mine")
    guid = sites.oslo.zfs(f"get -Hpo value guid {secret}@mine")
    with pytest.raises(FinalError) as refused:
        async with ask.asked(door_of(sites), "up", "send", dataset="", to=guid):
            pass
    assert refused.value.slug == "zfs-no-snapshot"


@pytest.mark.parametrize("what", ["package", "another", "garbage"])
async def test_a_stream_that_was_not_asked_for_is_refused_before_a_byte_is_received(sites: Pair, what: str) -> None:
    """A package could set mount points and make datasets of any name."""
    await sites.begin()
    before = sites.bergen.zfs(f"list -H -t all -o name -r {sites.bergen.pool}")
    oslo, snapshot = sites.oslo, f"{sites.oslo.root}@evil"
    (oslo.seen / "a").write_text("evil")
    oslo.zfs(f"snapshot {snapshot}")
    streams = {
        "package": f"zfs send -R {snapshot}",
        "another": f"zfs send {snapshot}",
        "garbage": "head -c 5000 /dev/urandom",
    }
    assert oslo.source is not None
    oslo.source.instead = [*oslo.machine.host.prefix, "sh", "-c", streams[what]]
    refused = await sites.round()
    assert refused.blocked and "something else than it was asked for" in str(refused.reason)
    assert sites.bergen.zfs(f"list -H -t all -o name -r {sites.bergen.pool}") == before
