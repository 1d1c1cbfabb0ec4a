"""A set is followed change by change; both trees are the same afterwards, whatever was cut on the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from churn.changes import Churn
from secondsite.events import ignore
from secondsite.files import bandwidth, budget, engine, keeper, lately
from secondsite.files import store as records
from secondsite.files.converge import Place
from secondsite.files.keeper import Keeper
from secondsite.files.rsync.verify import verify
from secondsite.files.state import SOURCE_UNREADABLE, Coming, FilesStatus
from secondsite.files.stream import collect, heard, said, tell
from secondsite.files.stream.beneath import Root
from secondsite.files.stream.entry import INLINE_BYTES, Entry
from secondsite.files.stream.look import look as read
from secondsite.files.stream.take import End
from secondsite.files.stream.thread import stoppable
from secondsite.files.stream.weigh import Cost, Weighing
from secondsite.files.watch import watcher, wholly
from secondsite.spec import FileSet
from tests.integration.file_daemon import ADDRESS, mirror
from tests.integration.file_systems import file_system, mounted
from tests.integration.stream_pair import Pair, pair, running


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Pair]:
    """Both trees on one ext4 of their own."""
    with file_system(tmp_path, "ext4") as disk, mirror(disk) as ready:
        yield pair(ready, disk)


async def test_a_change_is_at_the_standby_at_once_and_nothing_is_pulled_for_it(ends: Pair) -> None:
    (ends.source / "before").write_text("before")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        pulls, took = ends.record.pulls, []
        for number in range(20):
            path, began = ends.source / f"folder-{number}" / "file", time.monotonic()
            path.parent.mkdir()
            path.write_text(f"content {number}")
            await ends.until((ends.target / f"folder-{number}" / "file").exists)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        await ends.until_equal()
        await ends.until(lambda: ends.keeper.states()[0].queue == 0)
        state = ends.keeper.states()[0]
        assert (state.status, state.kept, state.pending_files, state.pending_bytes) == (
            FilesStatus.CURRENT, "stream", 0, 0,
        )  # fmt: skip
        assert ends.record.pulls == pulls
        assert sorted(took)[10] < 1.0, took
    assert not ends.told


async def test_every_attribute_arrives_with_a_change(ends: Pair) -> None:
    """Large, sparse, hard-linked, linked, owned, dated, with attributes and an ACL; and with names of all kinds."""
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        source = ends.source
        (source / "large").write_bytes(os.urandom(3 * INLINE_BYTES))
        with (source / "sparse").open("wb") as sparse:
            sparse.truncate(50_000_000)
            sparse.seek(20_000_000)
            sparse.write(b"in the middle")
        (source / "one").write_text("one file, three names")
        os.link(source / "one", source / "two")
        (source / "deep" / "er").mkdir(parents=True)
        os.link(source / "one", source / "deep" / "er" / "three")
        (source / "soft").symlink_to("/etc/passwd")
        os.chown(source / "soft", 33, 33, follow_symlinks=False)
        odd = os.fsdecode(os.fsencode(source) + b"/# ;\xff\n'")
        Path(odd).write_bytes(b"odd")
        (source / "owned").write_text("owned")
        os.chown(source / "owned", 12345, 54321)
        (source / "owned").chmod(0o640)
        os.utime(source / "owned", ns=(1, 123456789987654321))
        os.setxattr(source / "owned", "user.colour", b"red\0\xff")
        acl = bytes.fromhex("02000000" "01000600ffffffff" "02000400e7030000" "04000400ffffffff"
                            "10000600ffffffff" "20000000ffffffff")  # fmt: skip
        os.setxattr(source / "owned", "system.posix_acl_access", acl)
        (source / "shared").mkdir()
        (source / "shared").chmod(0o2775)
        await ends.until_equal()
        assert os.getxattr(ends.target / "owned", "system.posix_acl_access") == acl
        os.setxattr(source / "owned", "user.colour", b"blue")
        (source / "two").unlink()
        (source / "one").write_text("changed in place")
        (source / "large").unlink()
        shutil.rmtree(source / "shared")
        (source / "soft").unlink()
        (source / "soft").mkdir()
        await ends.until_equal()
        seen = await verify(ends.mirror.fileset, ADDRESS, ends.mirror.port, timeout=30)
        assert (seen.sample, seen.folders) == ((), ()), "a set that is quiet shows nothing"
    assert not ends.told


async def test_a_limit_that_is_changed_holds_for_what_is_being_fetched_and_for_what_travels_in_a_batch(
    ends: Pair,
) -> None:
    fileset, store = ends.mirror.fileset, ends.mirror.store
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        bandwidth.change(fileset, "1MB/s", store)
        assert (state := ends.keeper.states()[0]).bandwidth == 1_000_000 and state.bandwidth_by == "command"
        await asyncio.sleep(2 * bandwidth.LOOK_SECONDS)
        (ends.source / "large").write_bytes(os.urandom(20_000_000))
        await ends.until(lambda: bool(list(ends.target.glob(".large.*"))))
        pulls = ends.record.pulls
        bandwidth.change(fileset, "unlimited", store)
        await ends.until_equal(10)  # at the old limit it took twenty seconds
        assert (ends.record.pulls, ends.keeper.states()[0].kept) == (pulls, "stream")
        bandwidth.change(fileset, "1MB/s", store)
        await asyncio.sleep(2 * bandwidth.LOOK_SECONDS)
        began = time.monotonic()
        for number in range(20):
            (ends.source / f"small-{number}").write_bytes(os.urandom(INLINE_BYTES))
        await ends.until_equal(20)
        assert time.monotonic() - began > 3.5
        assert ends.record.pulls == pulls
        bandwidth.change(fileset, "file", store)
        assert ends.keeper.states()[0].bandwidth_by == "file"
    assert not ends.told


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[Pair]:
    """Ends that no rule ever stops."""
    with file_system(tmp_path, "ext4") as disk, mirror(disk) as ready:
        yield pair(ready, disk, max_delete=1.0, max_change=1.0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_random_changes_both_trees_are_the_same_whatever_was_cut(careless: Pair, seed: int) -> None:
    """The source's process ends and begins, the standby's too; connections end with them, wherever they are."""
    ends, outside = careless, careless.source.parent / "outside"
    outside.mkdir()
    churn = Churn(ends.source, outside, seed)
    churn.steps(100)
    async with ends.keeping():
        for _ in range(3):
            async with ends.telling():
                for _ in range(10):
                    churn.steps(15)
                    await asyncio.sleep(0.05)
                churn.steps(20)
        async with ends.telling():
            await ends.until_followed()
            for _ in range(10):
                churn.steps(15)
                await asyncio.sleep(0.03)
    churn.spare()
    async with ends.telling() as watcher:
        churn.steps(60)
        async with ends.keeping():
            churn.steps(20)
            await ends.until_equal(60)
            await ends.until(lambda: ends.record.epoch == watcher.journals["uploads"].epoch)
            pulls = ends.record.pulls
            churn.steps(100)
            await ends.until_equal(60)
            assert ends.record.pulls == pulls, ends.keeper.states()
            seen = await verify(ends.mirror.fileset, ADDRESS, ends.mirror.port, timeout=30)
            assert (seen.sample, seen.folders) == ((), ()), "a set that is quiet shows nothing"
    assert not ends.told


async def test_what_was_written_through_a_name_that_is_gone_is_found_by_the_names_that_stay(ends: Pair) -> None:
    """The source finds nothing at that name any more; the standby knows which others the file has."""
    (ends.source / "deep").mkdir()
    for number, size in enumerate((20, 3 * INLINE_BYTES)):
        (ends.source / f"one-{number}").write_bytes(os.urandom(size))
        os.link(ends.source / f"one-{number}", ends.source / f"two-{number}")
        os.link(ends.source / f"one-{number}", ends.source / "deep" / f"three-{number}")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        await ends.until_equal()
        pulls = ends.record.pulls
        for number in range(2):
            with (ends.source / f"two-{number}").open("r+b") as file:
                file.write(b"changed")
            (ends.source / f"two-{number}").unlink()
        await ends.until_equal()
        assert (ends.target / "deep" / "three-1").stat().st_nlink == 2
        assert ends.record.pulls == pulls


async def test_a_folder_that_became_another_name_of_a_file_is_not_forgotten_while_such_names_wait(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other names of a file are looked for now and then only; in between whatever has several waits."""
    monkeypatch.setattr(collect, "LINKS_SHARE", 0.0002)
    (ends.source / "other").mkdir()
    for number in range(60):
        (ends.source / "other" / f"file-{number}").write_text(f"content {number}")
    (ends.source / "d").mkdir()
    (ends.source / "d" / "old").write_text("old")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        pulls = ends.record.pulls
        os.link(ends.source / "other" / "file-0", ends.source / "first")
        await ends.until((ends.target / "first").exists)
        shutil.rmtree(ends.source / "d")
        os.link(ends.source / "other" / "file-1", ends.source / "d")
        await asyncio.sleep(0.5)
        if ends.differences():
            assert ends.keeper.states()[0].queue != 0
        await ends.until_equal()
        assert (ends.target / "d").stat().st_nlink == 2
        assert ends.record.pulls == pulls


@pytest.mark.parametrize("when", [1_700_000_000 * 10**9, 1_700_000_000_123_456_789])
async def test_a_large_file_that_is_rewritten_and_keeps_its_size_and_its_time_arrives(ends: Pair, when: int) -> None:
    path = ends.source / "large"
    path.write_bytes(os.urandom(3 * INLINE_BYTES))
    os.utime(path, ns=(when, when))
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        await ends.until_equal()
        path.write_bytes(os.urandom(3 * INLINE_BYTES))
        os.utime(path, ns=(when, when))
        await ends.until_equal()


async def test_a_promotion_while_a_batch_is_weighed_leaves_nothing_of_it(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ends.source / "file").write_text("as it was")
    weighed = Weighing.cost

    def promoted_meanwhile(self: Weighing) -> Cost:
        found = weighed(self)
        records.save("uploads", replace(ends.record, role=records.SOURCE, settled=False), ends.mirror.store)
        return found

    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        monkeypatch.setattr(Weighing, "cost", promoted_meanwhile)
        (ends.source / "file").write_text("changed at the old original")
        await ends.until(lambda: ends.record.role == records.SOURCE)
        await asyncio.sleep(1)
    assert (ends.target / "file").read_text() == "as it was"


async def test_a_thread_that_writes_is_waited_for_however_often_that_is_cancelled_and_told_to_stop() -> None:
    stop, ended = threading.Event(), threading.Event()

    def write() -> None:
        stop.wait(10)
        time.sleep(0.3)
        ended.set()

    writing = asyncio.ensure_future(stoppable(write, stop.set))
    for _ in range(3):
        await asyncio.sleep(0.05)
        writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert ended.is_set()


async def test_a_source_that_does_not_say_whether_it_goes_on_is_compared_with() -> None:
    told = {"epoch": "a1", "seq": 4, "now": 5.0}
    assert said.hello(told)["reconcile"] is True
    assert said.hello(told | {"reconcile": "no"})["reconcile"] is True
    assert said.hello(told | {"reconcile": False})["reconcile"] is False


async def test_a_site_that_is_promoted_by_hand_is_written_over_no_more(ends: Pair) -> None:
    """Followed, and the other site still answers: the end of the following is no reason to pull."""
    for number in range(50):
        (ends.source / f"file-{number}").write_text(f"old {number}")
    primary = False
    keeping = ends.keeper.keep(lambda: not primary, lambda: primary)
    async with ends.telling(), running(keeping):
        await ends.until_followed()
        before = ends.record
        primary = True
        (ends.target / "file-1").write_text("written by the application here")
        (ends.target / "order").write_text("only here")
        await asyncio.sleep(3)
    assert (ends.target / "file-1").read_text() == "written by the application here"
    assert (ends.target / "order").read_text() == "only here"
    assert ends.record.pulls == before.pulls and not ends.record.settled
    assert ends.record.promotions == before.promotions + 1, "a version that shares its files with the folder is told so"


async def test_what_nobody_has_foreseen_in_one_set_ends_the_keeping_of_no_other(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ends.mirror.fileset.model_copy(update={"name": "other", "path": ends.target.with_name("other")})
    keeper = ends.keeper
    keeper._sets = (other, *keeper._sets)
    follow = Keeper._may_follow

    def broken(self: Keeper, fileset: FileSet) -> bool:
        if fileset.name == "other":
            raise KeyError("reconcile")
        return follow(self, fileset)

    monkeypatch.setattr(Keeper, "_may_follow", broken)
    async with ends.telling(), ends.keeping():
        await ends.until(lambda: [each.kept for each in keeper.states()] == ["pull", "stream"])
        assert "KeyError" in (keeper.states()[0].reason or ""), "and status says it"


async def test_a_promotion_ends_the_following_and_nothing_is_written_any_more(ends: Pair) -> None:
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(500):
            (ends.source / f"file-{number}").write_text("x")
        began = time.monotonic()
        await engine.promote(ends.mirror.fileset, ends.mirror.store)
        assert time.monotonic() - began < 1.5
        here = sorted(path.name for path in ends.target.iterdir())
        (ends.source / "after").write_text("after")
        await asyncio.sleep(1.0)
        assert sorted(path.name for path in ends.target.iterdir()) == here
        assert ends.record.role == "source" and ends.record.complete_at is not None


async def test_a_pull_that_comes_between_is_not_written_over_by_what_was_looked_at_before(ends: Pair) -> None:
    """Of a failover or switchover: its pull brings what is newer than a batch on its way."""
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(30):
            (ends.source / "hot").write_text(f"{number}")
            if number % 5 == 0:
                assert (await ends.mirror.pull()).complete
            await asyncio.sleep(0.02)
        await ends.until_equal()


async def test_deletions_beyond_the_budget_of_an_hour_wait_for_a_person_however_slow_they_come(ends: Pair) -> None:
    for number in range(40):
        (ends.source / f"file-{number}").write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(8):
                for number in range(40):
                    (ends.source / f"file-{number}").unlink()
                    await ends.until(lambda gone=ends.target / f"file-{number}": not gone.exists())  # type: ignore[misc]
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.BLOCKED)
        state = ends.keeper.states()[0]
        assert "within an hour" in str(state.reason) and state.held_back
        left = len(list(ends.target.iterdir()))
        assert left >= 30
        (ends.source / "new").write_text("what is new still comes")
        await ends.until((ends.target / "new").exists)
        assert len(list(ends.target.iterdir())) == left + 1
        await engine.allow_deletions(ends.mirror.fileset, ends.mirror.store)
        await ends.until_equal()
        await ends.until_followed()


async def test_most_of_a_set_that_goes_at_once_is_stopped_although_it_came_a_moment_ago(ends: Pair) -> None:
    for number in range(10):
        (ends.source / f"file-{number}").write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        (ends.source / "new").mkdir()
        for number in range(60):
            (ends.source / "new" / f"file-{number}").write_text("x")
        await ends.until_equal()
        await asyncio.sleep(1.5)  # it has said that nothing waits
        shutil.rmtree(ends.source / "new")
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.BLOCKED)
        state, left = ends.keeper.states()[0], len(list(ends.target.rglob("*")))
        assert left == 71 and state.held_back == 60, "rsync does not count the folder of what it keeps"
        await engine.allow_deletions(ends.mirror.fileset, ends.mirror.store)
        await ends.until_equal()
        await ends.until_followed()


async def test_a_folder_that_came_a_moment_ago_and_gets_another_name_is_no_deletion(ends: Pair) -> None:
    (ends.source / "file").write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        (ends.source / "unpacked").mkdir()
        for number in range(200):
            (ends.source / "unpacked" / f"file-{number}").write_text("x")
        await ends.until_equal()
        (ends.source / "unpacked").rename(ends.source / "release")
        await ends.until_equal()
        await ends.until_followed()
        assert ends.record.outcome == "complete" and not any(gone for _, gone, _, _ in ends.record.window)


async def test_how_far_a_pull_has_come_is_told_while_it_runs(ends: Pair) -> None:
    (ends.source / "large").write_bytes(os.urandom(6_000_000))
    bandwidth.change(ends.mirror.fileset, "2MB/s", ends.mirror.store)
    seen = list[Coming]()

    def told() -> bool:
        coming = ends.keeper.states()[0].coming
        seen.extend([coming] if coming is not None else [])
        return coming is not None and 0 < coming.done_bytes < 6_000_000

    async with ends.telling(), ends.keeping():
        await ends.until(told)
        assert seen[-1].total_bytes is not None and 5_000_000 < seen[-1].total_bytes < 7_000_000
        await ends.until_followed()
        assert ends.keeper.states()[0].coming is None
        (ends.source / "larger").write_bytes(os.urandom(6_000_000))
        await ends.until(told)
        assert ends.keeper.states()[0].kept == "stream"
        await ends.until_equal()


async def test_a_folder_that_gets_another_name_behind_a_start_of_the_agent_is_no_deletion(ends: Pair) -> None:
    """The process that saw it come is gone; the copy itself knows when it was made."""
    (ends.source / "file").write_text("x")
    store = ends.mirror.store
    async with ends.telling():
        async with ends.keeping():
            await ends.until_followed()
            (ends.source / "unpacked").mkdir()
            for number in range(200):
                (ends.source / "unpacked" / f"file-{number}").write_text("x")
            await ends.until_equal()
        lately.of("uploads", store).clear()  # what a process remembers
        async with ends.keeping():
            await ends.until_followed()
            (ends.source / "unpacked").rename(ends.source / "release")
            await ends.until_equal()
            await ends.until_followed()
            assert ends.record.outcome == "complete" and not any(gone for _, gone, _, _ in ends.record.window)


async def test_a_file_that_is_rewritten_again_and_again_is_one_file_and_a_touched_one_is_none(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "LEAST_CHANGES", 3)
    for name in ("log", "touched"):
        (ends.source / name).write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for turn in range(6):
            (ends.source / "log").write_text(f"longer {turn}")
            (ends.source / "touched").touch()
            await ends.until_equal()
        await ends.until(lambda: ends.record.outcome == "complete" and bool(ends.record.window))
        await asyncio.sleep(0.2)
        assert sum(new for _, _, new, _ in ends.record.window) == 1
        assert ends.keeper.states()[0].kept == "stream"


async def test_what_was_heard_last_outlives_a_boot_of_the_standby(ends: Pair) -> None:
    """Else a failover behind it could not say what the source had told before its end."""
    (ends.source / "file").write_text("x")
    store = ends.mirror.store
    async with ends.keeping():
        async with ends.telling():
            await ends.until_followed()
            assert not (store / "uploads.heard").exists(), "a disk is not woken each second"
        await ends.until((store / "uploads.heard").exists)
        said = heard.load("uploads", ends.record, store)
    (store / "run" / "uploads.heard").unlink()  # in memory
    assert said is not None and heard.load("uploads", ends.record, store) == said
    assert engine.not_here(ends.mirror.fileset, store)["count"] == 0


async def test_what_came_and_went_within_the_hour_is_no_deletion(ends: Pair) -> None:
    for number in range(10):
        (ends.source / f"file-{number}").write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(12):
            path = ends.source / f"temporary-{number}"
            path.write_text("x")
            await ends.until((ends.target / path.name).exists)
            path.unlink()
            await ends.until(lambda gone=ends.target / path.name: not gone.exists())  # type: ignore[misc]
        await ends.until(lambda: ends.record.entries == 11)  # the last of it is noted, and not only gone
        assert ends.record.alarm is None
        assert not any(gone or rewritten for _, gone, rewritten, _ in ends.record.window)


async def test_what_somebody_who_was_killed_has_left_half_made_is_gone_when_the_copy_is_followed_again(
    ends: Pair,
) -> None:
    (ends.source / "folder").mkdir()
    async with ends.telling():
        async with ends.keeping():
            await ends.until_followed()
            await ends.until_equal()
        made = ends.target / "folder" / ".secondsite-new-0123456789abcdef"
        argv = (sys.executable, "-c", HALF_WAY, str(ends.mirror.store), str(made))
        assert await (await asyncio.create_subprocess_exec(*argv)).wait() == -signal.SIGKILL
        assert made.exists()
        async with ends.keeping():
            await ends.until_equal()
            await ends.until(lambda: not records.unfinished("uploads", ends.mirror.store))
            assert not made.exists()


# A process that has the set, and dies while it writes. Arguments: what is remembered, what is half-made.
HALF_WAY = """
import asyncio, os, signal, sys
from pathlib import Path
from secondsite.files import store

async def work() -> None:
    async with store.locked("uploads", seconds=5, store=Path(sys.argv[1])) as held:
        held.begin()
        Path(sys.argv[2]).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


def unchangeable(files: list[Path], flag: str) -> None:
    subprocess.run(["chattr", flag, *files], check=True)


async def test_a_file_that_cannot_be_brought_is_told_and_is_not_forgotten(ends: Pair) -> None:
    """rsync ends with 23 then, which others count as fine; and large and small files come by different ways."""
    for name in ("small", "large"):
        (ends.source / name).write_text("before")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        await ends.until_equal()
        kept = [ends.target / "small", ends.target / "large"]
        unchangeable(kept, "+i")
        try:
            (ends.source / "small").write_text("after")
            (ends.source / "large").write_bytes(os.urandom(2 * INLINE_BYTES))
            (ends.source / "other").write_text("what can be brought is brought")
            await ends.until((ends.target / "other").exists)
            await ends.until(lambda: ends.record.outcome == "failed")
            await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.FAILED)
            assert "Operation not permitted" in str(ends.record.reason)
            assert {path for path in ends.differences() if path} == {b"small", b"large"}
        finally:
            unchangeable(kept, "-i")
        await ends.until_equal(60)
        await ends.until(lambda: ends.record.outcome == "complete")


async def test_a_record_that_has_lost_count_of_the_copy_calls_nobody(ends: Pair) -> None:
    """Whoever is killed between a batch and its note in the record counts too few; the deletions are judged by what is
    really here."""
    for number in range(100):
        (ends.source / f"file-{number}").write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        records.save("uploads", replace(ends.record, entries=10), ends.mirror.store)
        for number in range(15):
            (ends.source / f"file-{number}").unlink()
        await ends.until_equal()
        await ends.until(lambda: ends.record.entries == 86)
        assert ends.record.alarm is None


async def test_a_name_that_is_a_file_already_is_counted_as_one_that_came(ends: Pair) -> None:
    (ends.source / "file").write_text("x")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(5):
            os.link(ends.source / "file", ends.source / f"name-{number}")
        await ends.until_equal()
        await ends.until(lambda: ends.record.entries == 7)


async def test_files_that_are_all_encrypted_cost_no_more_than_what_is_allowed(ends: Pair) -> None:
    count = 2400
    for number in range(count):
        (ends.source / f"file-{number}").write_text("plain")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(count):
            path = ends.source / f"file-{number}"
            path.write_text("encrypted")
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.BLOCKED)
        plain = sum(path.read_text() == "plain" for path in ends.target.iterdir())
        assert plain >= count * 0.45
        assert "encrypts" in str(ends.keeper.states()[0].reason)
        await asyncio.sleep(1.0)
        assert sum(path.read_text() == "plain" for path in ends.target.iterdir()) == plain, "nothing is pulled either"
        await engine.allow_deletions(ends.mirror.fileset, ends.mirror.store)
        await ends.until_equal()


async def test_encryption_that_keeps_size_and_time_is_noticed_by_what_was_written(ends: Pair) -> None:
    count = 6000
    for number in range(count):
        (ends.source / f"file-{number}").write_text("plain")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(count):
            path = ends.source / f"file-{number}"
            before = path.stat().st_mtime_ns
            path.write_text("XXXXX")
            os.utime(path, ns=(before, before))
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.BLOCKED)
        assert sum(path.read_text() == "plain" for path in ends.target.iterdir()) >= count * 0.2
        assert "encrypts" in str(ends.keeper.states()[0].reason)


async def test_a_large_file_that_is_encrypted_and_keeps_size_and_time_counts_as_rewritten(ends: Pair) -> None:
    """A chmod of such a file does not."""
    second = 1_700_000_000 * 10**9
    for number in range(4):
        path = ends.source / f"large-{number}"
        path.write_bytes(os.urandom(2 * INLINE_BYTES))
        os.utime(path, ns=(second, second))
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        for number in range(3):
            path = ends.source / f"large-{number}"
            path.write_bytes(os.urandom(2 * INLINE_BYTES))
            os.utime(path, ns=(second, second))
        (ends.source / "large-3").chmod(0o600)
        await ends.until_equal()
        await ends.until(lambda: sum(new for _, _, new, _ in ends.record.window) >= 3, 10)
        await asyncio.sleep(0.5)
        assert sum(new for _, _, new, _ in ends.record.window) <= 6  # each may be told before it has its time again
    assert not ends.told


async def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    with (
        file_system(tmp_path / "there", "ext4", size="64M") as there,
        file_system(tmp_path / "here", "ext4", size="24M") as here,
        mirror(there) as ready,
    ):
        ready.fileset = ready.fileset.model_copy(update={"path": here / "uploads"})
        ends = pair(ready, there)
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            ballast = here / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as full:
                while True:
                    full.write(bytes(65536))
            for number in range(40):
                (ends.source / f"file-{number}").write_bytes(os.urandom(100_000))
            await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.FAILED)
            assert "No space left" in str(ends.keeper.states()[0].reason)
            assert ends.differences()
            ballast.unlink()
            await ends.until_equal(60)


async def test_a_source_whose_process_is_not_there_is_pulled_each_interval(ends: Pair) -> None:
    (ends.source / "one").write_text("one")
    async with ends.keeping():
        await ends.until_equal()
        state = ends.keeper.states()[0]
        assert state.kept == "pull" and state.unstreamed
        async with ends.telling():
            await ends.until_followed()
            (ends.source / "two").write_text("two")
            await ends.until_equal()
        (ends.source / "three").write_text("three")
        await ends.until_equal()


async def test_a_file_system_inside_the_set_that_is_unmounted_costs_the_copy_nothing(tmp_path: Path) -> None:
    with ExitStack() as undo:
        disk = undo.enter_context(file_system(tmp_path, "ext4"))
        ends = pair(undo.enter_context(mirror(disk, inner="media")), disk)
        for number in range(300):
            (ends.source / f"file-{number}").write_text("x")
        media = mounted(undo, ends.source / "media", "-t", "tmpfs", "tmpfs")
        for number in range(40):
            (media / f"file-{number}").write_text("x")
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            await ends.until_equal()
            subprocess.run(["umount", str(media)], check=True)  # noqa: ASYNC221
            await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.BLOCKED)
            told = f"{media} is not mounted inside the set: mount it, or run secondsite apply"
            await ends.until(lambda: told in str(ends.keeper.states()[0].unstreamed))
            state = ends.keeper.states()[0]
            assert state.status is FilesStatus.BLOCKED and told in str(state.reason)
            assert len(list((ends.target / "media").iterdir())) == 40
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(media)], check=True)  # noqa: ASYNC221
            for number in range(40):
                (media / f"file-{number}").write_text("x")
            await ends.until_followed()
            (media / "after").write_text("x")
            await ends.until_equal()


async def test_a_file_system_inside_the_copy_that_is_unmounted_gets_nothing_below_it_and_is_compared_when_it_is_back(
    tmp_path: Path,
) -> None:
    with ExitStack() as undo:
        disk = undo.enter_context(file_system(tmp_path, "ext4"))
        ends = pair(undo.enter_context(mirror(disk)), disk)
        (ends.source / "media").mkdir()
        film = ends.source / "media" / "film"
        film.write_text("version one")
        ends.target.mkdir(parents=True)
        media = mounted(undo, ends.target / "media", "-t", "tmpfs", "tmpfs")
        await Place(ends.mirror.fileset, ends.mirror.store).apply(None, ignore)  # type: ignore[arg-type]
        assert ends.record.inner == (str(media),)
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            subprocess.run(["umount", str(media)], check=True)  # noqa: ASYNC221
            film.write_text("version TWO")
            await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.BLOCKED)
            assert f"{media} is not mounted inside the copy: mount it, or" in str(ends.keeper.states()[0].reason)
            assert not [*media.iterdir()], "nothing is written below the mount point"
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(media)], check=True)  # noqa: ASYNC221
            (media / "film").write_text("version one")
            await ends.until_followed()
            await ends.until(lambda: (media / "film").read_text() == "version TWO")


async def test_another_file_system_inside_the_copy_is_compared_although_nothing_has_changed_at_the_source(
    tmp_path: Path,
) -> None:
    with ExitStack() as undo:
        disk = undo.enter_context(file_system(tmp_path, "ext4"))
        ends = pair(undo.enter_context(mirror(disk)), disk)
        (ends.source / "media").mkdir()
        (ends.source / "media" / "film").write_text("version one")
        ends.target.mkdir(parents=True)
        media = mounted(undo, ends.target / "media", "-t", "tmpfs", "tmpfs")
        await Place(ends.mirror.fileset, ends.mirror.store).apply(None, ignore)  # type: ignore[arg-type]
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            pulls = ends.record.pulls
            other = mounted(undo, disk / "other", "-t", "tmpfs", "tmpfs")
            subprocess.run(["mount", "--bind", str(other), str(media)], check=True)  # noqa: ASYNC221
            await ends.until(lambda: (media / "film").exists())
            await ends.until(lambda: ends.record.pulls > pulls)
            await ends.until_followed()
            (ends.source / "media" / "next").write_text("x")
            await ends.until((other / "next").exists)


class Ahead:
    """The clock of a host that is an hour ahead."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def time() -> float:
        return time.time() + 3600


async def test_a_dead_line_is_no_health_while_the_clock_of_the_source_is_ahead(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tell, collect, watcher, wholly):
        monkeypatch.setattr(module, "time", Ahead)
    (ends.source / "one").write_text("one")
    async with ends.keeping():
        async with ends.telling():
            await ends.until_followed()
            (ends.source / "two").write_text("two")
            await ends.until_equal()
            await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.CURRENT)
            os.kill(int(ends.mirror.daemon.read_text()), signal.SIGKILL)
        assert (ends.record.complete_at or 0) > time.time() + 3000
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.FAILED)


async def test_what_is_included_comes_although_it_is_excluded_and_new_patterns_hold_at_once(tmp_path: Path) -> None:
    """What was left out so far is told by nobody: a full comparison brings it."""
    with file_system(tmp_path, "ext4") as disk, mirror(disk, exclude=["*.tmp"], include=["kept.tmp"]) as ready:
        ends = pair(ready, disk)
        (ends.source / "other.tmp").write_text("left out")
        async with ends.telling():
            async with ends.keeping():
                await ends.until_followed()
                pulls = ends.record.pulls
                for name in ("kept.tmp", "new.tmp", "file"):
                    (ends.source / name).write_text(name)
                await ends.until(lambda: {one.name for one in ends.target.iterdir()} == {"file", "kept.tmp"})
                assert ends.record.pulls == pulls
            changed = ends.mirror.fileset.model_copy(update={"include": ("kept.tmp", "other.tmp")})
            spec = ends.keeper._spec.model_copy(update={"files": (changed,)})
            ends.keeper = Keeper(spec, "bergen", store=ends.mirror.store, token=disk / "token")
            async with ends.keeping():
                await ends.until((ends.target / "other.tmp").exists, 10)
                await ends.until_followed()
        assert not (ends.target / "new.tmp").exists()


async def test_excluded_files_are_neither_told_nor_removed(tmp_path: Path) -> None:
    with file_system(tmp_path, "ext4") as disk, mirror(disk, exclude=["*.tmp", "/cache/"]) as ready:
        ends = pair(ready, disk)
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            (ends.source / "a.tmp").write_text("x")
            (ends.source / "cache").mkdir()
            (ends.source / "cache" / "b").write_text("x")
            (ends.target / "mine.tmp").write_text("x")
            (ends.source / "sub").mkdir()
            (ends.source / "sub" / "cache").mkdir()
            await ends.until((ends.target / "sub" / "cache").exists)
            await asyncio.sleep(0.3)
            assert sorted(path.name for path in ends.target.rglob("*")) == ["cache", "mine.tmp", "sub"]


async def test_what_gives_rights_and_what_is_no_file_does_not_come(ends: Pair) -> None:
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        (ends.source / "root").write_text("#!/bin/sh")
        (ends.source / "root").chmod(0o6755)
        os.setxattr(ends.source / "root", "security.capability",
                    bytes.fromhex("0100000280000000000000000000000000000000"))  # fmt: skip
        os.mkfifo(ends.source / "fifo")
        os.mknod(ends.source / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(ends.source / "socket"))
        (ends.source / "last").write_text("last")
        await ends.until((ends.target / "last").exists)
        await asyncio.sleep(0.3)
        assert sorted(path.name for path in ends.target.iterdir()) == ["last", "root"]
        assert (ends.target / "root").stat().st_mode & 0o7777 == 0o755
        assert os.listxattr(ends.target / "root") == []


async def test_the_record_of_a_set_that_was_followed_survives(ends: Pair) -> None:
    """What an older version wrote is read, and what is written is read again."""
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        (ends.source / "file").write_text("x")
        await ends.until_equal()
        await ends.until(lambda: ends.keeper.states()[0].queue == 0)
    record = ends.record
    records.save("uploads", record, ends.mirror.store)
    assert records.load("uploads", ends.mirror.store) == record
    complete = engine.last_complete(ends.mirror.fileset, ends.mirror.store)
    assert complete is not None and time.time() - complete < 30


async def test_what_the_source_cannot_read_is_named_while_everything_else_comes(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(root: Root, path: bytes) -> Entry:
        if path == b"bad":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(root, path)

    (ends.source / "bad").write_text("as it was")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        monkeypatch.setattr(collect, "look", look)
        (ends.source / "bad").write_text("now this")
        (ends.source / "good").write_text("good")
        await ends.until((ends.target / "good").exists)
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.FAILED)
        assert ends.keeper.states()[0].reason == f"{SOURCE_UNREADABLE}: 'bad': Input/output error"
        (ends.source / "better").write_text("better")
        await ends.until((ends.target / "better").exists)
        assert (ends.target / "bad").read_text() == "as it was"
        monkeypatch.undo()
        await ends.until_equal()
        await ends.until(lambda: ends.keeper.states()[0].status is FilesStatus.CURRENT)


async def test_changes_are_followed_at_once_behind_a_comparison_that_took_long(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pulls there is a rest as long as the first of them: nothing came in the meantime."""
    monkeypatch.setattr(keeper, "pause", lambda interval, took, failures: 60.0)
    follow, ended = Keeper._follow, list[End]()

    async def once(self: Keeper, fileset: FileSet, is_standby: Callable[[], bool]) -> End | None:
        if not ended:
            ended.append(End.COMPARE)
            return ended[0]
        return await follow(self, fileset, is_standby)

    monkeypatch.setattr(Keeper, "_follow", once)
    (ends.source / "before").write_text("before")
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        assert (ends.record.pulls, ended) == (2, [End.COMPARE])
        (ends.source / "next").write_text("next")
        await ends.until_equal()
