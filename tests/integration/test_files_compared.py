"""What verify sees of a file set: each attribute is broken at the copy, that one alone, and found."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest

from secondsite.database.verify.model import Outcome
from secondsite.errors import SecondsiteError
from secondsite.events import Progress, ignore
from secondsite.files.keeper import Keeper
from secondsite.files.rsync import command
from secondsite.files.versions.acts import file_facts
from secondsite.files.versions.facts import MOST, wrong
from secondsite.spec import Spec, Tunnel
from secondsite.verification import filesets, record
from secondsite.verification.filesets import Comparison, check, portions
from tests.integration.database_clusters import specification
from tests.integration.disks import disk
from tests.integration.file_daemon import Mirror, mirror
from tests.integration.test_files_versions_kept import ACL, fill


class Pair:
    """The copy, and the primary that answers questions about its files."""

    def __init__(self, mirrored: Mirror) -> None:
        self.mirror = mirrored
        tunnel = Tunnel.model_validate({"network": "127.0.0.0/24", "files_port": mirrored.port})
        files = (mirrored.fileset.model_copy(update={"interval": 0.1}),)
        self.spec: Spec = specification(1).model_copy(update={"files": files, "tunnel": tunnel})
        there = files[0].model_copy(update={"path": PurePosixPath(mirrored.source)})
        self._there = self.spec.model_copy(update={"files": (there,)})
        self.asked = 0

    async def ask(self, act: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert act == "files"
        self.asked += 1
        return await file_facts(self._there, request)

    def comparison(self, sample: int | None) -> Comparison:
        fileset, store = self.spec.files[0], self.mirror.store
        return Comparison(self.spec, "bergen", fileset, store, self.ask, sample, 7, ignore)

    async def draw(self, sample: int, seed: int) -> set[str]:
        return set(await replace(self.comparison(sample), seed=seed).drawn())

    async def differing(self, sample: int | None = 1000) -> int:
        one = self.comparison(sample)
        drawn = await one.drawn()
        there = await one.there(drawn)
        found = await one.compared(drawn, there)
        links, filled = wrong(drawn, there)
        return found.differing + len(links) + len(filled)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """The copy is pulled all the while."""
        keeper = Keeper(self.spec, "bergen", store=self.mirror.store)
        keeping = asyncio.create_task(keeper.keep(lambda: True, lambda: False))
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with disk(tmp_path, "ext4") as where, mirror(where) as mirrored:
        fill(mirrored.source)
        for number in range(20):
            (mirrored.source / f"file-{number}").write_text(f"content {number:03}")
        (mirrored.source / "twin").write_text("linked")
        times = (mirrored.source / "one").stat().st_mtime_ns
        os.utime(mirrored.source / "twin", ns=(times, times))
        yield Pair(mirrored)


def content(folder: Path) -> None:
    """As a disk loses it: size and times stay."""
    times = (folder / "file-3").stat().st_mtime_ns
    (folder / "file-3").write_text("content 00X")
    os.utime(folder / "file-3", ns=(times, times))


def nanoseconds(folder: Path) -> None:
    times = (folder / "file-3").stat().st_mtime_ns
    os.utime(folder / "file-3", ns=(times, times + 1))


def unlinked(folder: Path) -> None:
    """Two files of the same content and time, where the source has one."""
    subprocess.run(["cp", "--preserve=all", folder / "one", folder / "copied"], check=True)
    (folder / "copied").rename(folder / "one")


def linked(folder: Path) -> None:
    """One file, where the source has two of the same content and time."""
    (folder / "twin").unlink()
    os.link(folder / "one", folder / "twin")


def filled(folder: Path) -> None:
    subprocess.run(["cp", "--preserve=all", "--sparse=never", folder / "holes", folder / "solid"], check=True)
    (folder / "solid").rename(folder / "holes")


def redirected(folder: Path) -> None:
    (folder / "way").unlink()
    (folder / "way").symlink_to("/etc/group")


BROKEN: dict[str, Callable[[Path], object]] = {
    "content": content,
    "missing": lambda folder: (folder / "file-3").unlink(),
    "extra": lambda folder: (folder / "extra").write_text(""),
    "mode": lambda folder: (folder / "file-3").chmod(0o604),
    "owner": lambda folder: os.chown(folder / "file-3", 12, -1),
    "group": lambda folder: os.chown(folder / "file-3", -1, 12),
    "time": nanoseconds,
    "attribute": lambda folder: os.setxattr(folder / "marked", "user.colour", b"blue"),
    "another attribute": lambda folder: os.setxattr(folder / "file-3", "user.more", b""),
    "acl": lambda folder: os.setxattr(folder / "file-3", "system.posix_acl_access", ACL),
    "link": redirected,
    "links apart": unlinked,
    "links together": linked,
    "holes": filled,
    "folder": lambda folder: (folder / "empty").chmod(0o700),
}


@pytest.mark.parametrize("attribute", BROKEN)
async def test_each_attribute_that_is_broken_alone_is_seen(pair: Pair, attribute: str) -> None:
    assert (await pair.mirror.pull()).complete
    assert await pair.differing() == 0
    BROKEN[attribute](pair.mirror.target)
    assert await pair.differing() > 0
    assert await pair.differing(None) > 0


@pytest.mark.parametrize("folder", ["empty/", "./"])
async def test_a_folder_of_which_only_the_time_differs_is_found_apart_told_and_mended_by_the_next_pull(
    pair: Pair, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await pair.mirror.pull()).complete
    place = pair.mirror.target / folder
    times = place.stat().st_mtime_ns
    os.utime(place, ns=(times, times + 1))
    one = pair.comparison(1000)
    seen = await one.compared(await one.drawn(), {})
    assert (seen.differing, seen.sample, seen.folders) == (0, (), (folder,))
    asked: dict[str, Any] = {"emit": ignore, "ask": pair.ask, "store": pair.mirror.store}
    with monkeypatch.context() as patched:
        patched.setattr(filesets, "PULL_SECONDS", 0.5)
        (found,) = await check(pair.spec, "bergen", **asked)
        assert found.outcome is Outcome.UNKNOWN and found.message.startswith(
            "the times of 1 folders differ, and no pull"
        )
    async with AsyncExitStack() as stack:

        async def begin(*_: object) -> None:
            await stack.enter_async_context(pair.kept())  # not before the first look, which would come too late

        monkeypatch.setattr(filesets, "compare_soon", begin)
        (found,) = await check(pair.spec, "bergen", **asked)
    assert found.outcome is Outcome.EQUAL and not found.hint
    assert "the times of 1 folders differed until everything was compared" in found.message
    assert place.stat().st_mtime_ns == times
    assert (await one.compared(await one.drawn(), {})).folders == ()
    (found,) = await check(pair.spec, "bergen", **asked)
    assert found.outcome is Outcome.EQUAL and "times of" not in found.message


async def test_times_of_many_folders_do_not_hide_the_file_that_differs_before_them(pair: Pair) -> None:
    """rsync tells them in one listing, of which only the end is kept."""
    for number in range(6000):
        (pair.mirror.source / f"folder-{number:040}").mkdir()
    assert (await pair.mirror.pull()).complete
    (pair.mirror.target / "empty").chmod(0o700)
    for folder in pair.mirror.target.glob("folder-*"):
        os.utime(folder, ns=(1, 1))
    one = pair.comparison(0)
    seen = await one.compared(await one.drawn(), {})
    assert (seen.differing, seen.sample, len(seen.folders)) == (1, ("empty/",), 6000)


async def test_a_folder_with_a_name_that_rsync_escapes_is_looked_at_by_its_name(pair: Pair) -> None:
    (pair.mirror.source / "l\u00f8s\nslutt").mkdir()
    assert (await pair.mirror.pull()).complete
    os.utime(pair.mirror.target / "l\u00f8s\nslutt", ns=(1, 1))
    one = pair.comparison(0)
    (folder,) = (await one.compared(await one.drawn(), {})).folders
    assert "\n" not in folder and filesets._stat(pair.spec.files[0], folder) is not None


@pytest.mark.parametrize(
    ("attribute", "told"), [("content", "file-3"), ("links together", "links"), ("holes", "holes")]
)
async def test_what_no_pull_repairs_is_told_as_different_with_a_way_on(pair: Pair, attribute: str, told: str) -> None:
    async with pair.kept():
        assert (await pair.mirror.pull()).complete
        BROKEN[attribute](pair.mirror.target)
        (found,) = await check(pair.spec, "bergen", emit=ignore, ask=pair.ask, sample=1000, store=pair.mirror.store)
        assert found.outcome is Outcome.DIFFERENT and told in found.message
        assert "verify again: that fetches it" in found.hint


async def test_a_copy_is_equal_and_the_message_says_how_much_was_read(pair: Pair) -> None:
    assert (await pair.mirror.pull()).complete
    (found,) = await check(pair.spec, "bergen", emit=ignore, ask=pair.ask, sample=5, seed=3, store=pair.mirror.store)
    assert found.outcome is Outcome.EQUAL and f"of {found.evidence['read']} the content was read" in found.message
    assert 5 <= int(found.evidence["read"]) <= 7
    (whole,) = await check(pair.spec, "bergen", emit=ignore, ask=pair.ask, sample=None, store=pair.mirror.store)
    assert whole.outcome is Outcome.EQUAL and "same content" in whole.message


async def test_a_file_that_was_found_wrong_is_read_again_although_the_sample_leaves_it_out(pair: Pair) -> None:
    """Else a second look that happens to draw others would call the copy whole."""
    async with pair.kept():
        assert (await pair.mirror.pull()).complete
        content(pair.mirror.target)
        once: dict[str, Any] = {
            "spec": pair.spec,
            "site": "bergen",
            "emit": ignore,
            "ask": pair.ask,
            "store": pair.mirror.store,
        }
        (found,) = await check(**once, sample=1000)
        kept = record.joined(None, [found], 1.0, everything=False)
        suspects = record.suspect_files(kept)
        assert suspects == {"uploads": ("file-3",)}
        seeds = [seed for seed in range(8) if "file-3" not in await pair.draw(2, seed)]
        unlucky = seeds[0]
        (blind,) = await check(**once, sample=2, seed=unlucky)
        (again,) = await check(**once, sample=2, seed=unlucky, suspects=suspects)
        assert (blind.outcome, again.outcome) == (Outcome.EQUAL, Outcome.DIFFERENT)
        (whole,) = await check(**once, sample=2, seed=unlucky, suspects={"uploads": None})
        assert whole.outcome is Outcome.DIFFERENT


def test_where_not_every_wrong_path_is_known_everything_is_read() -> None:
    many = {"kind": "files", "outcome": "different", "evidence": {"wrong": ["a"], "differing": 4000}}
    assert record.suspect_files({"checks": {"files uploads": many}}) == {"uploads": None}
    assert record.suspect_files({"checks": {"files uploads": many | {"outcome": "equal"}}}) == {}
    assert record.suspect_files(None) == {}


async def test_the_same_seed_draws_the_same_files_and_another_one_others(pair: Pair) -> None:
    assert (await pair.mirror.pull()).complete
    draws = [set(await pair.comparison(5).drawn()) for _ in range(2)]
    assert draws[0] == draws[1] and {"one", "deep/other"} <= draws[0]


async def test_a_question_about_files_leaves_the_set_on_no_way(pair: Pair) -> None:
    (pair.mirror.source / "out").symlink_to("/etc")
    paths = ["../store", "/etc/passwd", "out/passwd", "deep/../one", "one\x00", "", ".", "deep", "no", "way", "one"]
    told = await pair.ask("files", {"set": "uploads", "paths": paths})
    assert list(told["facts"]) == ["one"]
    for request in ({"set": "pictures", "paths": []}, {"set": "uploads", "paths": "one"}, {"set": "uploads"}):
        with pytest.raises(SecondsiteError):
            await pair.ask("files", request)


async def test_a_comparison_says_how_far_it_is_and_reads_no_faster_than_it_may(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (pair.mirror.source / f"large-{number}").write_bytes(os.urandom(1_000_000))
    assert (await pair.mirror.pull()).complete
    monkeypatch.setattr(filesets, "READ_BYTES", 1_000_000)
    told: list[Progress] = []
    slow = pair.spec.files[0].model_copy(update={"bandwidth": 2_000_000})
    one = replace(pair.comparison(None), fileset=slow, emit=lambda event: told.append(cast(Progress, event)))
    began = time.monotonic()
    found = await one.compared(await one.drawn(), {})
    assert found.differing == 0 and time.monotonic() - began >= 2.0
    read = [each for each in told if each.what == "compare uploads"]
    assert len(read) >= 4 and read[-1].done == read[-1].total and read[-1].rate_per_second is not None
    assert read[-1].rate_per_second <= 2_100_000


async def test_holes_are_compared_and_cost_none_of_the_rate(pair: Pair) -> None:
    """rsync hashes them as zeros, whatever lies on a disk; zeros that are written at the source are read there."""
    with (pair.mirror.source / "sparse").open("wb") as sparse:
        sparse.truncate(50_000_000)
        sparse.seek(20_000_000)
        sparse.write(os.urandom(100_000))
    (pair.mirror.source / "zeros").write_bytes(bytes(1_000_000))
    os.sync()
    assert (await pair.mirror.pull()).complete
    assert (pair.mirror.target / "zeros").stat().st_blocks == 0
    told: list[Progress] = []
    slow = pair.spec.files[0].model_copy(update={"bandwidth": 1_000_000})
    one = replace(pair.comparison(None), fileset=slow, emit=lambda event: told.append(cast(Progress, event)))
    drawn, began = await one.drawn(), time.monotonic()
    found = await one.compared(drawn, await one.there(drawn))
    assert found.differing == 0 and 1.0 <= time.monotonic() - began < 20
    total = [each.total for each in told if each.what == "compare uploads"][-1]
    assert total is not None and 1_100_000 <= total < 2_000_000
    with (pair.mirror.target / "sparse").open("r+b") as sparse:  # where the source has a hole, and its room stays one
        times = (pair.mirror.target / "sparse").stat().st_mtime_ns
        sparse.seek(40_000_000)
        sparse.write(b"x")
    os.utime(pair.mirror.target / "sparse", ns=(times, times))
    assert (await one.compared(drawn, {})).sample == ("sparse",)


async def test_a_file_that_takes_longer_to_read_than_rsync_waits_for_a_word_is_compared(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rsync says nothing while it reads one file, and gives up at the shorter patience of both sides."""
    for folder in (pair.mirror.source, pair.mirror.target):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "large").open("wb") as large:
            large.truncate(3_000_000_000)
        os.utime(folder / "large", ns=(1, 1))
    base = [each for each in command._BASE if not each.startswith("--timeout")]
    monkeypatch.setattr(command, "_BASE", (*base, "--timeout=1"))
    monkeypatch.setattr(command, "IO_SECONDS", 1)
    drawn = {"large": [3_000_000_000, 1, 0, "1:1"]}
    assert (await pair.comparison(None).compared(drawn, {})).sample.count("large") == 0


def test_what_lies_on_a_disk_is_counted_where_it_is_more() -> None:
    sparse, written, grown = [100, 1, 8, "1:1"], [100, 1, 100, "2:2"], [100, 1, 4096, "2:2"]
    assert filesets.on_disk(sparse, None) == filesets.on_disk(sparse, sparse) == 8
    assert filesets.on_disk(sparse, written) == filesets.on_disk(grown, sparse) == 100


async def test_files_that_are_looked_through_are_not_called_those_that_are_chosen(pair: Pair) -> None:
    assert (await pair.mirror.pull()).complete
    for number in range(1100):
        (pair.mirror.target / f"many-{number}").write_bytes(b"")
    told: list[Progress] = []
    one = replace(pair.comparison(5), emit=lambda event: told.append(cast(Progress, event)))
    assert len(await one.drawn()) < 20
    assert [(each.what, each.done) for each in told] == [("look through uploads", 1000)]


async def test_only_the_sets_that_were_named_are_compared(pair: Pair) -> None:
    assert (await pair.mirror.pull()).complete
    other = pair.spec.files[0].model_copy(update={"name": "pictures"})
    both = pair.spec.model_copy(update={"files": (other, *pair.spec.files)})
    asked: dict[str, Any] = {"emit": ignore, "ask": pair.ask, "store": pair.mirror.store, "sample": 5}
    (found,) = await check(both, "bergen", **asked, sets=both.files[1:])
    assert (found.name, found.outcome) == ("files uploads", Outcome.EQUAL)


def test_what_is_read_at_once_is_cut_by_bytes_and_by_number() -> None:
    drawn = {f"{number}": [30_000_000, 0, 30_003_200, "1:1"] for number in range(7)}
    portions = [(len(paths), size) for paths, size in filesets.to_read(drawn, {})]
    assert portions == [(3, 90_000_000)] * 2 + [(1, 30_000_000)]
    many = {f"{number}": [0, 0, 0, "1:1"] for number in range(MOST + 1)}
    assert [len(paths) for paths, _ in filesets.to_read(many, {})] == [MOST, 1]
    assert filesets.pause(100, 1.0, None) == 0.0 and filesets.pause(100, 1.0, 50) == 1.0


def test_questions_are_cut_so_that_the_agent_reads_them() -> None:
    paths = ["x" * 1000] * 300 + ["y"] * (MOST + 1)
    parts = list(portions(paths))
    assert [path for part in parts for path in part] == paths
    assert all(len(part) <= MOST and 6 * sum(map(len, part)) <= filesets.PORTION_BYTES + 6000 for part in parts)
    assert list(portions([])) == []


def test_what_changes_meanwhile_is_no_difference_of_links() -> None:
    here = {"a": [1, 1, 4096, "1:1"], "b": [1, 1, 4096, "1:1"], "c": [1, 1, 4096, "1:2"]}
    assert wrong(here, {"a": [1, 1, 4096, "9:1"], "b": [1, 2, 4096, "9:2"], "c": [1, 1, 4096, "9:3"]}) == ([], [])
    assert wrong(here, {"a": [1, 1, 4096, "9:1"], "b": [1, 1, 4096, "9:2"]}) == (["b"], [])
    assert wrong(here, {"a": [1, 1, 4096, "9:1"], "c": [1, 1, 4096, "9:1"]}) == (["c"], [])
