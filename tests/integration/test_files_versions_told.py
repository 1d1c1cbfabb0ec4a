"""Versions through the whole way: pulled from a real daemon, kept behind a pull, looked at, brought back."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from secondsite.clock import from_text
from secondsite.errors import FinalError, SecondsiteError, UsageError
from secondsite.events import Progress, ignore
from secondsite.files import engine, store
from secondsite.files.keeper import Keeper
from secondsite.files.rsync import daemon
from secondsite.files.state import FilesStatus, VersionsState
from secondsite.files.store import locked, mount_of
from secondsite.files.versions import offered, place, state
from secondsite.files.versions.acts import perform
from secondsite.files.versions.child import work
from secondsite.files.versions.keep import keep_versions
from secondsite.files.versions.rights import give_back, rights
from secondsite.spec import Tunnel
from tests.integration.database_clusters import free_port, specification
from tests.integration.disks import disk
from tests.integration.file_daemon import ADDRESS, Mirror, mirror, wait
from tests.integration.test_files_versions_kept import everything, fill

RULES = "1h every 5m, 24h hourly"
START = 1_800_000_000.0


class Site:
    """A standby that keeps versions of what it pulls, and a clock that tests move."""

    def __init__(self, mirrored: Mirror) -> None:
        self.mirror = mirrored
        self.now = START
        self.fileset = mirrored.fileset
        self.port = 1

    async def pulled(self, *, minutes: float = 5) -> None:
        """A pull ``minutes`` later, and what follows one that was complete."""
        self.now += 60 * minutes
        if (await self.mirror.pull()).complete:
            # The record's moment is of the real clock; what it says is told by the version.
            record = store.load("uploads", self.mirror.store)
            store.save("uploads", _at(record, self.now), self.mirror.store)
            await keep_versions(self.fileset, self.mirror.store, self.now)

    async def ask(self, kind: str, **arguments: Any) -> dict[str, Any]:
        return await perform(
            f"versions-{kind}", self.fileset, arguments, peer=ADDRESS, port=self.port, emit=ignore,
            store=self.mirror.store,
        )  # fmt: skip

    async def versions(self) -> list[dict[str, Any]]:
        return list((await self.ask("list"))["versions"])

    def looked(self) -> state.Looked:
        return state.load("uploads", self.mirror.store)


def _at(record: store.Record, moment: float) -> store.Record:
    return replace(record, complete_at=moment)


@pytest.fixture(params=["ext4", "btrfs"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with disk(tmp_path, request.param) as where:
        base = where / "base"
        base.mkdir()
        with mirror(base, versions=RULES, max_delete="100%") as ready:
            (ready.source / "keep").mkdir()
            for number in range(20):
                (ready.source / "keep" / f"photo-{number}").write_bytes(os.urandom(2000))
            fill(ready.source)
            yield Site(ready)


async def test_rm_rf_at_the_source_costs_minutes_and_not_the_copy(site: Site) -> None:
    await site.pulled()
    (site.mirror.source / "keep" / "photo-0").write_bytes(b"the newest work")
    await site.pulled()
    whole, at = everything(site.mirror.target), site.now
    shutil.rmtree(site.mirror.source / "keep")
    await site.pulled()
    assert not (site.mirror.target / "keep").exists(), "the copy has followed"
    back = site.mirror.target.parent / "back"
    told = await site.ask("restore", at=site.now - 1, to=str(back))
    assert (told["lost_count"], told["version"]["as_of"]) == (0, await _as_of(site, -2))
    assert everything(back) == whole
    assert site.now - at == 300


async def test_encryption_of_the_source_costs_minutes_and_not_the_copy(site: Site) -> None:
    """In place, under the same names, and with the times set back, as ransomware does it."""
    await site.pulled()
    whole = everything(site.mirror.target)
    for path in [one for one in site.mirror.source.rglob("*") if one.is_file() and not one.is_symlink()]:
        seen = path.stat()
        with path.open("r+b") as file:
            file.write(os.urandom(max(16, seen.st_size)))
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))
    await site.pulled()
    assert everything(site.mirror.target) != whole
    changed = await site.ask("diff", to={"id": (await site.versions())[-1]["id"]}, **{"from": {"at": site.now - 1}})
    assert changed["counts"]["changed"] >= 24 and changed["counts"]["removed"] == 0
    back = site.mirror.target.parent / "back"
    await site.ask("restore", at=site.now - 1, to=str(back))
    assert everything(back) == whole


async def _as_of(site: Site, place_: int) -> str:
    return str((await site.versions())[place_]["as_of"])


async def test_one_folder_comes_back_with_the_folders_above_it_and_nothing_else(site: Site) -> None:
    await site.pulled()
    told = await site.ask("restore", path="deep/deeper")
    top = Path(told["to"])
    assert top.parent.parent == site.mirror.target.parent and top.parent.stat().st_mode & 0o7777 == 0o700
    whole, back = everything(site.mirror.target), everything(top)
    assert set(back) == {".", "deep", "deep/deeper", "deep/deeper/photo"}
    assert all(back[path] == whole[path] for path in back)
    assert (told["files"], told["folders"]) == (1, 1)


async def test_hard_links_and_holes_come_back_as_they_were(site: Site) -> None:
    await site.pulled()
    told = await site.ask("restore")
    top = Path(told["to"])
    assert (top / "one").stat().st_ino == (top / "deep" / "other").stat().st_ino
    assert (top / "one").stat().st_nlink == 2, "and not a link of the version's or the set's own file"
    assert (top / "marked").stat().st_ino != (site.mirror.target / "marked").stat().st_ino


async def test_attributes_that_a_pull_has_changed_since_are_those_of_the_version(site: Site) -> None:
    """A pull sets them on the file itself, which a version of links shares."""
    await site.pulled()
    whole = everything(site.mirror.target)
    marked = site.mirror.source / "marked"
    marked.chmod(0o666)
    os.chown(marked, 99, 99)
    os.removexattr(marked, "user.colour")
    os.utime(marked, ns=(3, 3))
    await site.pulled()
    assert everything(site.mirror.target)["marked"] != whole["marked"]
    told = await site.ask("restore", path="marked", at=site.now - 1)
    assert everything(Path(told["to"]))["marked"] == whole["marked"]


async def test_what_is_pulled_never_writes_into_a_file_that_a_version_has(site: Site) -> None:
    """Versions of links rely on it: another file comes by a rename, also one that grows and one that is cut short."""
    large = site.mirror.source / "large"
    large.write_bytes(os.urandom(3_000_000))
    await site.pulled()
    before = large.read_bytes()
    for change in (_grow, _cut, _patch):
        change(large)
        await site.pulled()
    told = await site.ask("restore", path="large", at=START + 300)
    assert (Path(told["to"]) / "large").read_bytes() == before and told["lost_count"] == 0


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more" * 1000)


def _cut(path: Path) -> None:
    os.truncate(path, 1000)


def _patch(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"patch")


async def test_what_an_application_wrote_into_after_a_failover_is_not_taken_for_the_version(tmp_path: Path) -> None:
    """Where this site became the original, its application writes into files that versions of links share."""
    with disk(tmp_path, "ext4") as where:
        (where / "base").mkdir()
        with mirror(where / "base", versions=RULES) as mirrored:
            site = Site(mirrored)
            for name in ("written", "grown", "same"):
                (mirrored.source / name).write_text("of the version")
            await site.pulled()
            await engine.promote(site.fileset, mirrored.store)
            with (mirrored.target / "written").open("r+") as file:
                file.write("of today")
            with (mirrored.target / "grown").open("a") as file:
                file.write("and more")
            told = await site.ask("restore")
            assert (sorted(told["lost"]), told["lost_count"], told["files"]) == (["grown", "written"], 2, 1)
            assert sorted(path.name for path in Path(told["to"]).iterdir()) == ["same"]


async def test_a_path_is_told_through_time(site: Site) -> None:
    await site.pulled()
    await site.pulled()  # nothing changed: no version
    (site.mirror.source / "one").write_text("longer than before")
    await site.pulled()
    (site.mirror.source / "one").unlink()
    await site.pulled()
    told = await site.ask("list", path=f"{site.mirror.target}/one")
    assert [(one["there"], one["bytes"]) for one in told["states"]] == [(True, 6), (True, 18), (False, None)]
    assert len(await site.versions()) == 3
    odd = await site.ask("list", path='bytes-\udcff\n"{}')
    assert [one["there"] for one in odd["states"]] == [True]


async def test_a_difference_names_each_path_with_what_differs(site: Site) -> None:
    await site.pulled()
    (site.mirror.target / "one").unlink()
    (site.mirror.target / "marked").chmod(0o600)
    (site.mirror.target / "deep" / "fresh").write_text("fresh")
    told = await site.ask("diff")
    named = {one["path"]: (one["change"], one["what"]) for one in told["changes"]}
    assert told["counts"] == {"added": 1, "removed": 1, "changed": len(named) - 2}
    assert named["one"] == ("removed", []) and named["deep/fresh"] == ("added", [])
    assert named["marked"] == ("changed", ["mode", "attributes"])
    only = await site.ask("diff", path="deep")
    assert {one["path"] for one in only["changes"]} <= {"deep", "deep/fresh", "deep/other"}


async def test_what_cannot_be_asked_is_refused_in_words(site: Site) -> None:
    with pytest.raises(SecondsiteError) as none:
        await site.ask("restore")
    assert none.value.slug == "no-such-version"
    await site.pulled()
    for arguments, slug in (
        ({"path": "../../etc"}, "path-outside"),
        ({"path": "/etc/passwd"}, "path-outside"),
        ({"path": "no-such"}, "no-such-path"),
        ({"at": START - 1}, "no-such-version"),
        ({"id": "20200101T000000Z-00000000"}, "no-such-version"),
        ({"to": str(site.mirror.target)}, "restore-in-the-way"),
        ({"to": "/no/such/folder/here"}, "restore-in-the-way"),
    ):
        with pytest.raises(SecondsiteError) as refused:
            await site.ask("restore", **arguments)
        assert refused.value.slug == slug, arguments
    with pytest.raises(UsageError, match="unknown argument"):
        await site.ask("restore", force=True)
    with pytest.raises(SecondsiteError) as nothing:
        await site.ask("withdraw", offer="../../../uploads")
    assert nothing.value.slug == "no-such-argument" and site.mirror.target.exists()
    assert [one.name for one in site.mirror.target.parent.iterdir() if "restored" in one.name] == []


async def test_a_dry_run_writes_nothing_and_tells_the_same(site: Site) -> None:
    await site.pulled()
    before = sorted(path.name for path in site.mirror.target.parent.iterdir())
    told = await site.ask("restore", dry_run=True)
    assert sorted(path.name for path in site.mirror.target.parent.iterdir()) == before
    done = await site.ask("restore")
    assert {**told, "to": "", "dry_run": False} == {**done, "to": ""}


async def test_versions_are_made_when_due_and_only_of_a_complete_pull(site: Site) -> None:
    await site.pulled()
    (site.mirror.source / "new").write_text("new")
    await site.pulled(minutes=1)
    assert len(await site.versions()) == 1, "not due yet"
    await site.pulled(minutes=4)
    assert len(await site.versions()) == 2
    (site.mirror.source / "newer").write_text("newer")
    site.mirror.port, port = 1, site.mirror.port
    await site.pulled()
    await keep_versions(site.fileset, site.mirror.store, site.now)
    assert len(await site.versions()) == 2, "never of a pull that failed"
    site.mirror.port = port
    await site.pulled()
    assert len(await site.versions()) == 3
    assert site.looked().count == 3 and site.looked().newest_at == site.now


async def test_old_versions_go_by_the_rules(site: Site) -> None:
    for number in range(16):
        (site.mirror.source / "one").write_text(f"round {number}")
        await site.pulled()
    kept = await site.versions()
    assert 12 < len(kept) < 16, "the oldest are of whole hours"
    ages = [site.now - _unix(one["as_of"]) for one in kept]
    assert all(any(abs(age - 300 * step) < 1 for age in ages) for step in range(12)), "the last hour, each five minutes"


def _unix(text: str) -> float:
    return from_text(text).timestamp()


async def test_whoever_must_have_the_set_does_not_wait_for_a_version(site: Site) -> None:
    """A version that is being made is given up; what it left is removed by the next one."""
    for folder in range(30):
        (site.mirror.source / f"many-{folder}").mkdir()
        for number in range(300):
            (site.mirror.source / f"many-{folder}" / str(number)).write_text("x")
    assert (await site.mirror.pull()).complete
    home = place.home(site.fileset)
    keeping = asyncio.create_task(keep_versions(site.fileset, site.mirror.store, START))
    async with asyncio.timeout(60):
        while not (home.exists() and any(one.name.startswith(place.MAKING) for one in home.iterdir())):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    began = time.monotonic()
    async with locked("uploads", seconds=10, store=site.mirror.store):
        assert time.monotonic() - began < 1
    assert await keeping is None
    assert await site.versions() == []
    await keep_versions(site.fileset, site.mirror.store, START + 1)
    assert len(await site.versions()) == 1
    assert not [one for one in home.iterdir() if one.name.startswith(place.MAKING)]


async def test_a_worker_that_is_cancelled_leaves_no_process(site: Site) -> None:
    await site.pulled()
    asked = asyncio.create_task(work("diff", "uploads", str(site.fileset.path), {"promotions": 0}))
    await asyncio.sleep(0.05)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert [pid for pid in children if "secondsite.files" in Path(f"/proc/{pid}/cmdline").read_text()] == []


async def test_trouble_is_a_state_that_readiness_can_tell_and_the_pull_goes_on(site: Site) -> None:
    home = place.home(site.fileset)
    home.mkdir(parents=True)
    home.chmod(0o777)
    await site.pulled()
    assert "others than root" in str(site.looked().problem)
    shown = state.versions_of(site.fileset, site.mirror.store, site.now)
    assert shown is not None and shown.overdue and shown.count == 0
    assert store.load("uploads", site.mirror.store).outcome == "complete"
    home.chmod(0o700)
    home.parent.chmod(0o700)
    await keep_versions(site.fileset, site.mirror.store, site.now + 30)
    assert site.looked().problem, "not tried again at once"
    await keep_versions(site.fileset, site.mirror.store, site.now + 61)
    assert site.looked().problem is None and site.looked().count == 1


async def test_the_keeper_keeps_versions_and_tells_of_them(site: Site) -> None:
    spec = specification(1)
    files = (site.fileset.model_copy(update={"interval": 0.1}),)
    tunnel = Tunnel.model_validate({"network": "127.0.0.0/24", "files_port": site.mirror.port})
    keeper = Keeper(spec.model_copy(update={"files": files, "tunnel": tunnel}), "bergen", store=site.mirror.store)
    async with asyncio.timeout(30):
        keeping = asyncio.create_task(keeper.keep(lambda: True, lambda: False))
        while not (keeper.states()[0].versions or VersionsState(0)).count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    (told,) = keeper.states()
    assert told.status is FilesStatus.CURRENT
    assert told.versions is not None and (told.versions.overdue, told.versions.problem) == (False, None)


@pytest.fixture
def primary(site: Site, tmp_path: Path) -> Iterator[Site]:
    """The other site: its set's folder is the source, and it reaches the standby's daemon, which offers."""
    port = free_port()
    text = daemon.configuration(
        [site.fileset], {"uploads": mount_of(site.mirror.target.parent)}, own_address=ADDRESS, peer_address=ADDRESS,
        port=port,
    )  # fmt: skip
    config = tmp_path / "standby-rsyncd.conf"
    config.write_text(text.replace("/run/", f"{tmp_path}/"))
    child = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={config}", "--log-file=/dev/null"])
    try:
        wait(port)
        there = Site(site.mirror)
        there.fileset = site.fileset.model_copy(update={"path": PurePosixPath(site.mirror.source)})
        there.port = port
        yield there
    finally:
        child.terminate()
        child.wait()


async def test_the_primary_fetches_a_folder_back_and_what_it_replaces_is_moved_aside(site: Site, primary: Site) -> None:
    """Its own record says nothing of a pull: it has been the primary ever since."""
    await site.pulled()
    source = site.mirror.source
    whole = everything(source)
    shutil.rmtree(source / "deep")
    (source / "keep" / "photo-1").write_bytes(b"encrypted")
    (source / "keep" / "of-today").write_text("written since")
    told = await site.ask("offer")
    here = await _at_primary(primary, offer=told["offer"], dry_run=True)
    assert here["dry_run"] and not (source / "deep").exists() and here["aside"] is None
    assert any("photo-1" in path for path in here["sample"])
    here = await _at_primary(primary, offer=told["offer"], path="keep/photo-1")
    assert (here["files"], here["replaced"]) == (1, 1)
    assert not (source / "deep").exists(), "only what was asked for"
    here = await _at_primary(primary, offer=told["offer"])
    after = everything(source)
    assert {path: after[path] for path in whole} == whole
    assert (source / "keep" / "of-today").read_text() == "written since", "what the version does not have stays"
    assert (source / "one").stat().st_ino == (source / "deep" / "other").stat().st_ino
    await site.ask("withdraw", offer=told["offer"])
    assert list(offered.folder(site.fileset).iterdir()) == []


async def _at_primary(primary: Site, **arguments: Any) -> dict[str, Any]:
    return await perform(
        "versions-fetch", primary.fileset, arguments, peer=ADDRESS, port=primary.port, emit=ignore,
        store=primary.mirror.store.parent / "primary",
    )  # fmt: skip


async def test_what_comes_back_takes_no_set_id_bits_off_the_primarys_own_files(site: Site, primary: Site) -> None:
    """No copy has such bits, so no version has them."""
    source = site.mirror.source
    for name in ("same", "rewritten"):
        (source / name).write_bytes(b"#!/bin/sh\n")
        (source / name).chmod(0o4755)
    await site.pulled()
    (source / "rewritten").write_bytes(b"encrypted")
    (source / "rewritten").chmod(0o4755)
    (source / "keep" / "photo-1").unlink()
    told = await site.ask("offer")
    planned = await _at_primary(primary, offer=told["offer"], dry_run=True)
    assert (planned["files"], planned["replaced"], planned["sample_replaced"]) == (2, 1, ["rewritten"])
    assert planned["aside"] is None and "keep/photo-1" in planned["sample"]
    here = await _at_primary(primary, offer=told["offer"])
    assert (source / "same").stat().st_mode & 0o7777 == 0o4755
    assert (source / "rewritten").stat().st_mode & 0o7777 == 0o755, "another file, as the version has it"
    assert (here["without_rights"], here["replaced"]) == (1, 1)
    assert (Path(here["aside"]) / "rewritten").stat().st_mode & 0o7777 == 0o4755
    assert (await _at_primary(primary, offer=told["offer"], path="same"))["without_rights"] == 0
    assert (source / "same").stat().st_mode & 0o7777 == 0o4755


def test_a_file_that_is_written_into_while_a_version_comes_back_gets_no_set_id_bits(tmp_path: Path) -> None:
    """The kernel takes them off what another user writes: they would run his program as the owner."""
    for name in ("tool", "left"):
        (tmp_path / name).write_bytes(b"#!good\n")
        (tmp_path / name).chmod(0o4775)
    before = rights(tmp_path, "")
    (tmp_path / "tool").write_bytes(b"#!evil\n")
    os.utime(tmp_path / "tool", ns=(0, (tmp_path / "left").stat().st_mtime_ns + 5_000_000))
    for name in ("tool", "left"):
        (tmp_path / name).chmod(0o775)
    assert give_back(before) == 1
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o775
    assert (tmp_path / "left").stat().st_mode & 0o7777 == 0o4775


async def test_what_was_replaced_is_there_as_it_was(site: Site, primary: Site) -> None:
    await site.pulled()
    source = site.mirror.source
    (source / "marked").write_text("of today")
    told = await site.ask("offer", path="marked")
    here = await _at_primary(primary, offer=told["offer"], path="marked")
    assert (Path(here["aside"]) / "marked").read_text() == "of today"
    assert Path(here["aside"]).stat().st_mode & 0o7777 == 0o700
    assert (source / "marked").read_text() == "marked"


async def test_a_standby_fetches_nothing_over_its_copy(site: Site, primary: Site) -> None:
    await site.pulled()
    told = await site.ask("offer", path="marked")
    primary.fileset = site.fileset
    with pytest.raises(FinalError) as refused:
        await primary.ask("fetch", offer=told["offer"])
    assert refused.value.slug == "files-are-copy"


async def test_a_long_restore_tells_how_far_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.mirror.source / "large").write_bytes(os.urandom(4_000_000))
    await site.pulled()
    told: list[Progress] = []
    await perform(
        "versions-restore", site.fileset, {}, peer=ADDRESS, port=1, store=site.mirror.store,
        emit=lambda event: told.append(event) if isinstance(event, Progress) else None,
    )  # fmt: skip
    assert told and told[0].unit == "bytes" and told[0].total
