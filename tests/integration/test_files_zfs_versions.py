"""The versions of a set that ZFS mirrors: listed, compared and brought back, from real pools."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from secondsite.clock import from_text
from secondsite.errors import SecondsiteError
from secondsite.events import ignore
from secondsite.files import store as records
from secondsite.files.rsync import daemon
from secondsite.files.versions import offered
from secondsite.files.versions.acts import perform
from secondsite.files.versions.state import versions_of
from secondsite.files.zfs import beside, look, names
from tests.integration.database_clusters import free_port
from tests.integration.file_daemon import ADDRESS, wait
from tests.integration.zfs_sites import Machine, Pair, Site, machine_alone, pair


@pytest.fixture(scope="module")
def zfs_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_alone(tmp_path_factory.mktemp("zfs")) as ready:
        yield ready


@pytest.fixture
async def sites(zfs_host: Machine, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(zfs_host, tmp_path) as both:
        yield both


async def ask(site: Site, kind: str, **arguments: Any) -> dict[str, Any]:
    return await perform(
        f"versions-{kind}", site.fileset, arguments, peer=ADDRESS, port=1, emit=ignore, store=site.store,
        host=site.machine.host,
    )  # fmt: skip


def looks(site: Site) -> list[str]:
    """Clones that are there, and what is left in the folder for them."""
    here = site.machine.host.root / str(site.store / look.LOOKS).lstrip("/")
    clones = [each for each in site.zfs("list -H -o name -t filesystem").split() if "-secondsite-look-" in each]
    return [*clones, *(each.name for each in here.glob("*"))]


def inside(site: Site, path: str) -> Path:
    return site.machine.host.root / path.lstrip("/")


async def three_rounds(sites: Pair) -> list[dict[str, Any]]:
    """A set with a dataset in it, through three rounds a second apart."""
    sites.oslo.zfs(f"create {sites.oslo.root}/kid")
    top, kid = sites.oslo.seen, sites.oslo.seen / "kid"
    (top / "a").write_text("one")
    (top / "deep").mkdir()
    (top / "deep" / "gone").write_text("deleted later")
    os.link(top / "deep" / "gone", top / "deep" / "same")
    (kid / "b").write_text("first")
    await sites.begin()
    await asyncio.sleep(1.1)
    (top / "a").write_text("two!")
    (kid / "b").write_text("second")
    (kid / "c").write_text("new")
    assert (await sites.round()).complete
    await asyncio.sleep(1.1)
    (top / "deep" / "gone").unlink()
    (top / "deep" / "same").unlink()
    assert (await sites.round()).complete
    return list((await ask(sites.bergen, "list"))["versions"])


async def test_snapshots_are_listed_with_time_name_and_size_and_found_by_time(sites: Pair) -> None:
    versions = await three_rounds(sites)
    assert [each["kind"] for each in versions] == ["zfs"] * 3
    assert [each["snapshot"] for each in versions] == [
        f"{sites.bergen.root}@{each.name}" for each in (await sites.bergen.tree()).datasets[0].snapshots
    ]
    assert all(each["bytes"] > 0 and each["entries"] is None for each in versions)
    assert [each["as_of"] for each in versions] == sorted({each["as_of"] for each in versions})
    second = versions[1]
    found = await ask(sites.bergen, "list", at=from_text(second["as_of"]).timestamp() + 0.5)
    assert found["versions"] == [second]
    assert (await ask(sites.bergen, "list", id=second["id"]))["versions"] == [second]


async def test_status_tells_how_many_versions_there_are_and_whether_rounds_still_make_them(sites: Pair) -> None:
    sites.bergen.settings["versions"] = "24h hourly"
    versions, fileset, store = await three_rounds(sites), sites.bergen.fileset, sites.bergen.store
    now = time.time()
    told = versions_of(fileset, store, now)
    assert told is not None and (told.count, told.problem, told.overdue) == (3, None, False)
    assert told.newest_at == from_text(versions[-1]["as_of"]).timestamp()
    later = versions_of(fileset, store, now + 3 * 3600)
    assert later is not None and later.overdue, "no round was complete for hours"
    with pytest.raises(SecondsiteError) as early:
        await ask(sites.bergen, "list", at=1000.0)
    assert early.value.slug == "no-such-version"


async def test_a_path_is_told_through_time_in_a_dataset_below_as_well(sites: Pair) -> None:
    await three_rounds(sites)
    told = (await ask(sites.bergen, "list", path="kid/b"))["states"]
    assert [(each["there"], each["bytes"]) for each in told] == [(True, 5), (True, 6)]
    told = (await ask(sites.bergen, "list", path=f"{sites.bergen.path}/deep/gone"))["states"]
    assert [each["there"] for each in told] == [True, False]
    assert looks(sites.bergen) == []


async def test_a_difference_is_told_between_versions_and_to_now(sites: Pair) -> None:
    first, second, _ = await three_rounds(sites)
    told = await ask(sites.bergen, "diff", **{"from": {"id": first["id"]}, "to": {"id": second["id"]}})
    assert {each["path"]: each["change"] for each in told["changes"]} == {
        "a": "changed",
        "kid/b": "changed",
        "kid/c": "added",
    }
    told = await ask(sites.bergen, "diff", **{"from": {"id": second["id"]}})
    assert {each["path"]: each["change"] for each in told["changes"]} == {
        "deep/gone": "removed",
        "deep/same": "removed",
    }
    assert told["to"] is None
    assert (await ask(sites.bergen, "diff"))["counts"] == {"added": 0, "removed": 0, "changed": 0}
    assert looks(sites.bergen) == []
    copy = (await sites.bergen.tree()).datasets[0]
    assert (copy.mounted, copy.readonly) == (False, True)
    (sites.oslo.seen / "a").write_text("three")
    assert (await sites.round()).complete


async def test_a_file_a_folder_and_all_of_it_come_back_into_a_new_folder(sites: Pair) -> None:
    first, *_ = await three_rounds(sites)
    one = await ask(sites.bergen, "restore", path="kid/b", id=first["id"], to="/tmp/none", dry_run=True)
    assert (one["files"], one["bytes"], one["dry_run"]) == (1, 5, True)
    base = sites.bergen.store.parent
    await ask(sites.bergen, "restore", path="kid/b", id=first["id"], to=str(base / "file"))
    assert (base / "file" / "kid" / "b").read_text() == "first"
    told = await ask(sites.bergen, "restore", path="deep", id=first["id"], to=str(base / "folder"))
    assert (told["files"], told["lost_count"]) == (2, 0)
    assert (base / "folder" / "deep" / "gone").samefile(base / "folder" / "deep" / "same")
    assert not (base / "folder" / "a").exists()
    await ask(sites.bergen, "restore", id=first["id"], to=str(base / "all"))
    assert ((base / "all" / "a").read_text(), (base / "all" / "kid" / "b").read_text()) == ("one", "first")
    with pytest.raises(SecondsiteError) as missing:
        await ask(sites.bergen, "restore", path="nothing", id=first["id"], to=str(base / "no"))
    assert missing.value.slug == "no-such-path"
    assert looks(sites.bergen) == []


async def test_nothing_is_written_into_the_copy_nor_into_the_folder_below_it(sites: Pair) -> None:
    first, *_ = await three_rounds(sites)
    for to in (sites.bergen.path, f"{sites.bergen.path}/new"):
        with pytest.raises(SecondsiteError) as refused:
            await ask(sites.bergen, "restore", path="a", id=first["id"], to=to)
        assert refused.value.slug == "restore-in-the-way" and "--to-primary" in str(refused.value.hint)
    assert list(sites.bergen.seen.iterdir()) == []


async def test_a_look_that_was_killed_leaves_nothing_behind_the_next_round(sites: Pair) -> None:
    await three_rounds(sites)
    tree = await sites.bergen.tree()
    host, name = sites.bergen.machine.host, tree.datasets[0].snapshots[0].name
    left = await look.begin(host, sites.bergen.store, tree, {"": name, "kid": name})
    (used,) = [each for each in looks(sites.bergen) if each.endswith("/kid")]
    await look.sweep(host, sites.bergen.store)
    assert used in looks(sites.bergen), "somebody is at it"
    os.close(left.handle)  # as the kernel does for a process that was killed
    assert (await sites.round()).complete
    assert looks(sites.bergen) == []


async def test_a_process_that_is_killed_while_it_looks_is_tidied_up_after_by_the_next(sites: Pair) -> None:
    first, *_ = await three_rounds(sites)
    asked = asyncio.ensure_future(ask(sites.bergen, "diff", **{"from": {"id": first["id"]}}))
    for _ in range(2000):
        if any(each.endswith(".json") for each in looks(sites.bergen)):
            break
        await asyncio.sleep(0.01)
    workers = [each for each in Path("/proc").glob("[0-9]*") if _child(each)]
    assert workers
    for each in workers:
        os.kill(int(each.name), signal.SIGKILL)
    with pytest.raises(Exception, match="ended"):
        await asked
    assert looks(sites.bergen) != []
    await ask(sites.bergen, "list")
    assert looks(sites.bergen) == []


def _child(process: Path) -> bool:
    try:
        status = (process / "status").read_text()
    except OSError:
        return False
    return f"PPid:\t{os.getpid()}\n" in status and f"Name:\t{records.KEEPING}" in status


async def test_what_bears_our_name_and_is_not_ours_is_not_removed(sites: Pair) -> None:
    await sites.begin()
    number = names.stamp(1_800_000_000, "0123abcd")
    theirs = names.look(sites.bergen.root, number)
    sites.bergen.zfs(f"create -o mountpoint=none {theirs}")
    home = inside(sites.bergen, str(sites.bergen.store / look.LOOKS))
    home.mkdir(parents=True, exist_ok=True)
    body = {"number": number, "dataset": theirs, "folder": "/srv/none", "lent": False, "at": 0}
    (home / f"{number}.json").write_text(json.dumps(body))
    await look.sweep(sites.bergen.machine.host, sites.bergen.store)
    assert theirs in sites.bergen.zfs("list -H -o name -t filesystem").split()


async def test_the_primary_fetches_it_back_from_the_snapshot_itself(sites: Pair, tmp_path: Path) -> None:
    """Nothing is copied at the standby: the snapshot is shown where its daemon offers it."""
    first, *_ = await three_rounds(sites)
    told = await ask(sites.bergen, "offer", id=first["id"], path="kid")
    shown = offered.folder(sites.bergen.fileset) / told["offer"]
    assert (inside(sites.bergen, str(shown)) / "kid" / "b").read_text() == "first"
    assert (told["files"], told["path"]) == (1, "kid")
    await look.sweep(sites.bergen.machine.host, sites.bergen.store)
    assert (inside(sites.bergen, str(shown)) / "a").exists(), "what is lent stays"
    primary = tmp_path / "primary" / "up"
    (primary / "kid").mkdir(parents=True)
    (primary / "kid" / "b").write_text("encrypted")
    port = free_port()
    with _daemon(tmp_path, port, inside(sites.bergen, str(shown.parent))):
        there = sites.bergen.fileset.model_copy(update={"path": PurePosixPath(primary)})
        fetched = await perform(
            "versions-fetch", there, {"offer": told["offer"], "path": told["path"]}, peer=ADDRESS, port=port,
            emit=ignore, store=tmp_path / "there",
        )  # fmt: skip
    assert ((primary / "kid" / "b").read_text(), (primary / "a").exists()) == ("first", False)
    assert (Path(fetched["aside"]) / "kid" / "b").read_text() == "encrypted"
    await ask(sites.bergen, "withdraw", offer=told["offer"])
    assert looks(sites.bergen) == [] and list(inside(sites.bergen, str(shown.parent)).iterdir()) == []


class _daemon:
    """A read-only daemon with the module of what is offered."""

    def __init__(self, base: Path, port: int, folder: Path) -> None:
        text = f"port = {port}\naddress = {ADDRESS}\nuse chroot = yes\nread only = yes\nuid = 0\ngid = 0\n"
        text += "\n".join(daemon._module(offered.module("up"), str(folder)))
        self._file = base / "rsyncd.conf"
        self._file.write_text(text.replace("/run/", f"{base}/") + "\n")
        self._port = port

    def __enter__(self) -> None:
        self._child = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={self._file}"])
        wait(self._port)

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait()


async def test_what_is_replaced_at_a_primary_on_zfs_has_room_in_its_pool(sites: Pair) -> None:
    host, folder = sites.oslo.machine.host, f"{sites.oslo.path}.replaced-now"
    room = await beside.room(host, sites.oslo.path, folder)
    assert room is not None and names.beside(room)
    assert oct(inside(sites.oslo, folder).stat().st_mode & 0o777) == "0o700"
    assert room in sites.oslo.machine.sh(f"df {folder}")
    (inside(sites.oslo, folder) / "kept").write_text("x")
    assert await beside.room(host, "/srv", "/srv/elsewhere") is None
    empty = await beside.room(host, sites.oslo.path, f"{folder}-2")
    assert empty is not None
    await beside.give_back(host, empty)
    assert empty not in sites.oslo.zfs("list -H -o name").split()


async def test_at_the_original_what_is_only_there_for_the_next_round_is_no_version(sites: Pair) -> None:
    await three_rounds(sites)
    assert (await ask(sites.oslo, "list"))["versions"] == []
    sites.oslo.zfs(f"snapshot -r {sites.oslo.root}@hourly")
    (kept,) = (await ask(sites.oslo, "list"))["versions"]
    assert kept["snapshot"] == f"{sites.oslo.root}@hourly"
    (sites.oslo.seen / "kid" / "b").write_text("third")
    told = await ask(sites.oslo, "diff", **{"from": {"id": kept["id"]}})
    assert [each["path"] for each in told["changes"]] == ["kid/b"]
    assert (await sites.round()).complete
    assert kept["id"] in [each["id"] for each in (await ask(sites.bergen, "list"))["versions"]], "one name at both"
    sites.oslo.zfs(f"snapshot {sites.oslo.root}@alone")
    assert len((await ask(sites.oslo, "list"))["versions"]) == 1, "a snapshot of a part is no version of the set"


async def test_after_a_failover_the_versions_are_those_of_the_new_original(sites: Pair) -> None:
    before = await three_rounds(sites)
    await sites.bergen.engine(sites.oslo).promote()
    (sites.bergen.seen / "a").write_text("written at the new original")
    after = (await ask(sites.bergen, "list"))["versions"]
    assert after == before
    told = await ask(sites.bergen, "diff")
    assert [each["path"] for each in told["changes"]] == ["a"]
    base = sites.bergen.store.parent
    await ask(sites.bergen, "restore", path="a", id=before[0]["id"], to=str(base / "file"))
    assert (base / "file" / "a").read_text() == "one"
