"""What goes aside on its way back is listed, wherever that way was interrupted (real pools)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from secondsite.files import engine, parting
from secondsite.files.zfs import lost, names
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.engine import Zfs
from secondsite.files.zfs.host import Host
from secondsite.process import Completed
from tests.integration.zfs_sites import TOKEN, Killed, Machine, Pair, machine_alone, pair

LEFT = parting.Left(1, "0/5000A0")


@pytest.fixture(scope="module")
def zfs_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_alone(tmp_path_factory.mktemp("zfs")) as ready:
        yield ready


@pytest.fixture
async def sites(zfs_host: Machine, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(zfs_host, tmp_path) as both:
        yield both


class Interrupted(Host):
    """The copy beside does not get its name: the rename is refused, or the program is gone before it."""

    __slots__ = ("dies",)
    dies: bool

    async def run(self, *words: str, check: bool = True, seconds: float = 60.0) -> Completed:
        if words[:2] == ("zfs", "rename") and words[2].endswith(names.INCOMING):
            if self.dies:
                raise Killed
            return Completed(words, 1, "", "cannot rename: out of order")
        return await Host.run(self, *words, check=check, seconds=seconds)


def on(sites: Pair, host: Host) -> Zfs:
    return Zfs(
        sites.oslo.fileset, sites.oslo.store, host=host, door=Door("127.0.0.1", sites.bergen.port, lambda: TOKEN)
    )


def lists(sites: Pair) -> list[dict[str, Any]]:
    return [json.loads(each.read_text()) for each in sorted((sites.oslo.store / "lost").glob("*.json"))]


async def oslo_is_given_up(sites: Pair) -> None:
    (sites.oslo.seen / "a").write_text("one")
    await asyncio.sleep(1.1)  # a snapshot's creation is told in whole seconds
    await sites.begin()
    (sites.oslo.seen / "lost").write_text("never received")
    await sites.bergen.engine(sites.oslo).promote()
    await engine.give_up(sites.oslo.fileset, sites.oslo.store, left=LEFT)


@pytest.mark.parametrize("dies", [False, True])
async def test_what_went_aside_is_listed_although_the_way_back_was_interrupted_between_the_two_renames(
    sites: Pair, dies: bool
) -> None:
    await oslo_is_given_up(sites)
    plain = sites.oslo.machine.host
    host = Interrupted(plain.prefix, plain.root)
    host.dies = dies
    if dies:
        with pytest.raises(Killed):
            await on(sites, host).pull("127.0.0.1", 0, timeout=60)
    else:
        assert not (await on(sites, host).pull("127.0.0.1", 0, timeout=60)).complete
    done = await sites.oslo.pull(sites.bergen)
    assert done.complete, done
    (kept,) = sites.asides(sites.oslo)
    (body,) = lists(sites)
    assert [one["path"] for one in body["files"]] == ["lost"]
    assert parting.Left(body["generation"], body["since"]) == LEFT and f"zfs:{kept}" in body["kept_in"]
    assert sites.oslo.machine.sh(f"cat {body['files'][0]['kept']}") == "never received"
    assert (await sites.oslo.pull(sites.bergen)).complete
    assert len(lists(sites)) == 1, "it is listed once"
    assert not parting.is_noted("up", None, sites.oslo.store)


async def test_a_list_that_could_not_be_written_is_written_by_a_later_round(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await oslo_is_given_up(sites)
    in_the_way = sites.oslo.store / parting.LOST
    in_the_way.write_text("no folder")
    assert (await sites.oslo.pull(sites.bergen)).complete
    assert parting.is_noted("up", None, sites.oslo.store), "what was noted has not served yet"
    in_the_way.unlink()
    assert (await sites.oslo.pull(sites.bergen)).complete
    assert not in_the_way.exists(), "it is not tried with each round"
    monkeypatch.setattr(lost, "AGAIN_SECONDS", 0.0)
    assert (await sites.oslo.pull(sites.bergen)).complete
    (body,) = lists(sites)
    assert [one["path"] for one in body["files"]] == ["lost"]
    assert sites.oslo.machine.sh(f"cat {body['files'][0]['kept']}") == "never received"
    folders = sites.oslo.machine.host.root / str(sites.oslo.store.parent / "aside").lstrip("/")
    assert len([*folders.iterdir()]) == 1, "each try mounts it at the same place"
    assert not parting.is_noted("up", None, sites.oslo.store)


async def test_without_a_common_snapshot_all_that_goes_aside_is_perhaps_lost(sites: Pair) -> None:
    await oslo_is_given_up(sites)
    for each in (await sites.oslo.tree()).datasets[0].snapshots:
        sites.oslo.zfs(f"release {names.TAG} {sites.oslo.root}@{each.name}", check=False)
        sites.oslo.zfs(f"destroy {sites.oslo.root}@{each.name}")
    assert (await sites.oslo.pull(sites.bergen)).complete
    (body,) = lists(sites)
    assert (body["count"], body["files"]) == (0, [])
    assert [one["path"] for one in body["perhaps"]] == ["a", "lost"]
