"""A file set is pulled from a real daemon, and what must not happen does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from secondsite.cli.bootstrap.verify import originals
from secondsite.errors import FinalError
from secondsite.events import Event, Progress, ignore
from secondsite.files import bandwidth, budget, converge, engine, parting, store
from secondsite.files.keeper import Keeper
from secondsite.files.rsync import command, irregular, passes, passing
from secondsite.files.rsync.output import rewritten
from secondsite.files.rsync.passes import Passes
from secondsite.files.rsync.pull import PullResult
from secondsite.files.rsync.runner import Ended
from secondsite.files.rsync.verify import verify
from secondsite.files.state import FilesStatus
from secondsite.files.stream.apply import Taken
from secondsite.files.stream.exclude import Excludes
from secondsite.spec import Tunnel
from tests.integration.database_clusters import specification
from tests.integration.file_daemon import ADDRESS, Mirror, mirror
from tests.integration.file_systems import mounted


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Mirror]:
    with mirror(tmp_path) as ready:
        yield ready


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"file-{number}").write_text(f"content {number}")


async def test_the_first_pull_makes_the_folder_with_owner_mode_links_and_attributes(uploads: Mirror) -> None:
    fill(uploads.source, 3)
    uploads.source.chmod(0o2750)
    os.chown(uploads.source, 33, 33)
    os.link(uploads.source / "file-0", uploads.source / "hard")
    (uploads.source / "soft").symlink_to("/etc/passwd")
    os.setxattr(uploads.source / "file-1", "user.colour", b"red")
    odd = os.fsencode(uploads.source) + b"/bytes-\xff\n# ;"
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    result = await uploads.pull()
    assert (result.complete, result.deleted, result.reason) == (True, 0, None)
    now = uploads.target.stat()
    assert (now.st_mode & 0o7777, now.st_uid, now.st_gid) == (0o2750, 33, 33)
    assert (uploads.target / "hard").stat().st_ino == (uploads.target / "file-0").stat().st_ino
    assert (uploads.target / "soft").readlink() == Path("/etc/passwd")
    assert os.getxattr(uploads.target / "file-1", "user.colour") == b"red"
    assert Path(os.fsdecode(odd.replace(os.fsencode(uploads.source), os.fsencode(uploads.target)))).exists()
    assert engine.last_complete(uploads.fileset, uploads.store) == result.started_at


async def test_a_hostile_source_plants_nothing_that_gives_rights_here(uploads: Mirror) -> None:
    """Set-id bits, capabilities, devices, FIFOs and sockets stay where they are; nothing is fetched again for it."""
    fill(uploads.source, 2)
    (uploads.source / "shared").mkdir()
    (uploads.source / "shared").chmod(0o2775)
    root, group = uploads.source / "root", uploads.source / "shared" / "group"
    for path, mode in ((root, 0o4755), (group, 0o2755)):
        path.write_bytes(b"#!/bin/sh\n")
        path.chmod(mode)
    able = uploads.source / "able"
    able.write_bytes(b"")
    os.setxattr(able, "security.capability", bytes.fromhex("0100000280000000000000000000000000000000"))
    os.setxattr(able, "user.colour", b"red")
    os.mkfifo(uploads.source / "fifo")
    os.mknod(uploads.source / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(uploads.source / "socket"))
    assert (await uploads.pull()).complete
    here = {path.name: path.stat().st_mode for path in uploads.target.rglob("*")}
    assert sorted(here) == ["able", "file-0", "file-1", "group", "root", "shared"]
    assert (here["root"] & 0o7777, here["group"] & 0o7777, here["shared"] & 0o7777) == (0o755, 0o755, 0o2775)
    assert os.listxattr(uploads.target / "able") == ["user.colour"]
    (uploads.target / "root").chmod(0o4755)  # as an earlier version has brought it
    assert (await uploads.pull()).complete
    assert (uploads.target / "root").stat().st_mode & 0o7777 == 0o755
    changed = {path: path.stat().st_ctime_ns for path in uploads.target.rglob("*")}
    again = await uploads.pull()
    assert (again.complete, again.files, again.bytes, again.deleted) == (True, 0, 0, 0)
    assert {path: path.stat().st_ctime_ns for path in uploads.target.rglob("*")} == changed
    found = await verify(uploads.fileset, ADDRESS, uploads.port, timeout=30)
    assert (found.differing, found.sample) == (0, ())


async def test_a_rewrite_of_the_same_size_within_the_same_second_is_seen(uploads: Mirror) -> None:
    path = uploads.source / "file"
    path.write_text("before")
    os.utime(path, ns=(10**18, 10**18))
    await uploads.pull()
    path.write_text("after!")
    os.utime(path, ns=(10**18 + 5, 10**18 + 5))
    await uploads.pull()
    assert (uploads.target / "file").read_text() == "after!"


async def test_deletions_within_the_budget_reach_the_copy(uploads: Mirror) -> None:
    fill(uploads.source, 20)
    await uploads.pull()
    for number in range(4):
        (uploads.source / f"file-{number}").unlink()
    result = await uploads.pull()
    assert (result.complete, result.deleted) == (True, 4)
    assert uploads.tree(uploads.target) == uploads.tree(uploads.source)


async def test_deletions_beyond_the_budget_stop_before_anything_is_deleted(uploads: Mirror) -> None:
    fill(uploads.source, 20)
    await uploads.pull()
    before = uploads.tree(uploads.target)
    for number in range(10):
        (uploads.source / f"file-{number}").unlink()
    result = await uploads.pull()
    assert (result.complete, result.blocked, result.deleted) == (False, True, 0)
    assert "10 of 21" in str(result.reason)
    assert uploads.tree(uploads.target) == before
    assert engine.last_complete(uploads.fileset, uploads.store) == result.started_at, "all that exists is here"
    assert await engine.allow_deletions(uploads.fileset, uploads.store) == 10
    assert (await uploads.pull()).deleted == 10
    assert not store.load("uploads", uploads.store).allow_deletions
    with pytest.raises(FinalError, match="nothing to allow"):
        await engine.allow_deletions(uploads.fileset, uploads.store)


async def test_a_persons_word_covers_what_was_shown_and_no_more(uploads: Mirror) -> None:
    fill(uploads.source, 20)
    await uploads.pull()
    for number in range(10):
        (uploads.source / f"file-{number}").unlink()
    await uploads.pull()
    await engine.allow_deletions(uploads.fileset, uploads.store)
    (uploads.source / "file-10").unlink()
    result = await uploads.pull()
    assert (result.blocked, result.deleted, result.held_back) == (True, 0, 11)
    assert "10 were allowed to go, and since then more have gone" in str(result.reason)
    assert not store.load("uploads", uploads.store).allow_deletions


async def test_what_goes_while_a_pull_does_what_a_person_allowed_is_nobodys_word(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uploads.source, 40)
    (uploads.source / "folder").mkdir()
    fill(uploads.source / "folder", 20)
    await uploads.pull()
    shutil.rmtree(uploads.source / "folder")
    assert (await uploads.pull()).held_back == 20
    await engine.allow_deletions(uploads.fileset, uploads.store)
    run = Passes.run

    async def more_goes(self: Passes, *, max_delete: int) -> Ended:
        if max_delete:
            for number in range(35):
                (uploads.source / f"file-{number}").unlink(missing_ok=True)
        return await run(self, max_delete=max_delete)

    monkeypatch.setattr(Passes, "run", more_goes)
    result = await uploads.pull()
    assert (result.blocked, result.deleted) == (True, 21), "no more than the folder and what was in it"
    monkeypatch.undo()
    assert (await uploads.pull()).blocked
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete
    assert uploads.tree(uploads.target) == uploads.tree(uploads.source)


async def test_what_encrypts_is_stopped_in_time_where_a_busy_host_counts_slowly(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        (uploads.source / f"file-{number}").write_text("plain")
    assert (await uploads.pull()).complete
    await encrypt(uploads, 0, 1000)

    def slowly(lines: bytes) -> list[bytes]:
        time.sleep(0.5)
        return rewritten(lines)

    monkeypatch.setattr(passes, "rewritten", slowly)
    stopped = await uploads.pull()
    assert stopped.blocked and "encrypts" in str(stopped.reason)
    assert plain(uploads) >= 250, "half are allowed, and a page of names was on its way already"


async def test_a_word_for_deletions_is_none_for_what_is_encrypted_meanwhile(uploads: Mirror) -> None:
    for number in range(600):
        (uploads.source / f"file-{number}").write_text("plain")
    assert (await uploads.pull()).complete
    for number in range(450, 600):
        (uploads.source / f"file-{number}").unlink()
    assert (await uploads.pull()).held_back == 150
    await engine.allow_deletions(uploads.fileset, uploads.store)
    await encrypt(uploads, 0, 450)
    stopped = await uploads.pull()
    assert stopped.blocked and "encrypts" in str(stopped.reason)
    assert plain(uploads) >= 100, "what is allowed, and what was on its way already"


async def test_deletions_from_pull_to_pull_add_up_over_an_hour(uploads: Mirror) -> None:
    fill(uploads.source, 100)
    assert (await uploads.pull()).complete
    for part in range(2):
        for number in range(10 * part, 10 * part + 10):
            (uploads.source / f"file-{number}").unlink()
        assert (await uploads.pull()).deleted == 10
    (uploads.source / "file-20").unlink()
    (uploads.source / "file-21").unlink()
    (uploads.source / "new").write_text("still comes")
    result = await uploads.pull()
    assert (result.blocked, result.deleted, result.held_back) == (True, 0, 2)
    assert "20 that went within an hour" in str(result.reason) and (uploads.target / "new").exists()
    record = store.load("uploads", uploads.store)
    store.save(
        "uploads", replace(record, window=tuple((one[0] - 60, *one[1:]) for one in record.window)), uploads.store
    )
    later = await uploads.pull()
    assert (later.blocked, later.held_back) == (True, 2), "nobody has looked within this hour either"
    (uploads.source / "file-20").write_text("20")
    (uploads.source / "file-21").write_text("21")
    assert (await uploads.pull()).complete, "what was gone is there again"
    (uploads.source / "file-20").unlink()
    (uploads.source / "file-21").unlink()
    assert (await uploads.pull()).deleted == 2
    for number in range(22, 42):
        (uploads.source / f"file-{number}").unlink()
    assert (await uploads.pull()).blocked
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).deleted == 20
    (uploads.source / "file-42").unlink()
    assert (await uploads.pull()).complete, "what a person has agreed to does not count against what follows"


async def test_empty_files_that_came_a_moment_ago_let_no_others_go(uploads: Mirror) -> None:
    fill(uploads.source, 50)
    assert (await uploads.pull()).complete
    for number in range(400):
        (uploads.source / f"padding-{number}").touch()
    assert (await uploads.pull()).complete
    for number in range(50):
        (uploads.source / f"file-{number}").unlink()
    result = await uploads.pull()
    assert (result.blocked, result.deleted) == (True, 0)


async def test_empty_files_of_a_pull_that_was_cut_off_let_no_others_go(uploads: Mirror) -> None:
    fill(uploads.source, 50)
    assert (await uploads.pull()).complete
    for number in range(400):
        (uploads.source / f"padding-{number}").touch()
    (uploads.source / "zz").write_bytes(os.urandom(4_000_000))
    uploads.seconds = 1
    assert not (await uploads.pull(bandwidth=1_000_000)).complete
    assert len(list(uploads.target.glob("padding-*"))) == 400
    uploads.seconds = 60
    (uploads.source / "zz").unlink()
    for number in range(50):
        (uploads.source / f"file-{number}").unlink()
    result = await uploads.pull()
    assert (result.blocked, result.deleted) == (True, 0)


async def test_what_came_within_the_hour_and_goes_again_stops_no_small_set(uploads: Mirror) -> None:
    """Files that an application makes under another name first: a pull may find them, and not their renaming."""
    fill(uploads.source, 4)
    assert (await uploads.pull()).complete
    (uploads.source / "folder").mkdir()
    under_way = [uploads.source / f"folder/.{number}.part\n" for number in range(6)]
    for path in under_way:
        path.write_text("half")
    assert (await uploads.pull()).complete
    for path in under_way:
        path.unlink()
    (uploads.source / "folder").rmdir()
    result = await uploads.pull()
    assert (result.complete, result.deleted, result.reason) == (True, 7, None)
    assert sorted(path.name for path in uploads.target.iterdir()) == [f"file-{number}" for number in range(4)]
    record = store.load("uploads", uploads.store)
    assert record.entries == 5 and sum(gone for _, gone, _, _ in record.window) == 0
    for number in range(2):
        (uploads.source / f"file-{number}").unlink()
    assert (await uploads.pull()).reason == "2 of 5 files and folders are gone at the source; the deletion budget is 1"


async def test_most_of_a_set_that_goes_at_once_stops_the_pull_although_it_came_a_moment_ago(uploads: Mirror) -> None:
    fill(uploads.source, 4)
    assert (await uploads.pull()).complete
    for number in range(30):
        (uploads.source / f"new-{number}").write_text("x")
    assert (await uploads.pull()).complete
    for number in range(30):
        (uploads.source / f"new-{number}").unlink()
    result = await uploads.pull()
    assert (result.blocked, result.deleted, result.held_back) == (True, 0, 30)


async def test_where_nothing_may_be_deleted_what_came_a_moment_ago_stays_too(uploads: Mirror) -> None:
    uploads.fileset = uploads.fileset.model_copy(update={"max_delete": 0.0})
    fill(uploads.source, 4)
    assert (await uploads.pull()).complete
    (uploads.source / "new").write_text("x")
    assert (await uploads.pull()).complete
    (uploads.source / "new").rename(uploads.source / "another")
    result = await uploads.pull()
    assert (result.blocked, result.deleted, result.held_back) == (True, 0, 1)


@pytest.mark.parametrize("rewritten", [4, 3])
async def test_what_was_rewritten_within_the_hour_counts_when_it_goes(uploads: Mirror, rewritten: int) -> None:
    """Rewritten it is a new file to the disk, and what it held is as old as ever."""
    fill(uploads.source, 10)
    assert (await uploads.pull()).complete
    changed = [uploads.source / f"file-{number}" for number in range(rewritten)]
    came = [uploads.source / f"part-{number}" for number in range(2)]
    for path in (*changed, *came):
        path.write_text("another")
    assert (await uploads.pull()).complete
    for path in (*changed, *came):
        path.unlink()
    result = await uploads.pull()
    assert result.deleted == (5 if rewritten == 3 else 0), "the budget is 3"
    assert (result.blocked, result.held_back) == ((False, None) if rewritten == 3 else (True, 6))


async def test_what_a_person_has_agreed_to_is_guarded_from_then_on(uploads: Mirror) -> None:
    fill(uploads.source, 10)
    assert (await uploads.pull()).complete
    for number in range(10):
        (uploads.source / f"new-{number}").touch()
    for number in range(5):
        (uploads.source / f"file-{number}").unlink()
    assert (await uploads.pull()).blocked
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete
    for number in range(10):
        (uploads.source / f"new-{number}").unlink()
    assert (await uploads.pull()).blocked


def test_no_other_name_is_taken_for_one_that_came_within_the_hour(tmp_path: Path) -> None:
    """A source can have rsync print whatever it likes."""
    target, outside = tmp_path / "set", tmp_path / "outside"
    (target / "cache").mkdir(parents=True)
    outside.mkdir()
    old = target / "old"
    old.touch()
    since = time.time() + 0.02
    time.sleep(0.05)
    for path in (target / "new", target / "cache" / "new", outside / "new"):
        path.touch()
    (target / "link").symlink_to(outside)
    os.utime(old)
    old.chmod(0o600)
    names = [b"old", b"new", b"cache/new", b"link/new", b"../outside/new", b"", b"nothing"]
    found = passing.among(target, names, ("cache",), since=since, rewritten=0)
    assert found == passing.Passing(frozenset({b"new"}), 0)
    assert not passing.among(target, names, (), since=time.time() + 9, rewritten=0).names
    assert not passing.among(target, names, ("[c]ache",), since=since, rewritten=0).names


async def test_what_a_pull_has_rewritten_counts_also_when_the_agent_stops_in_the_middle(uploads: Mirror) -> None:
    fill(uploads.source, 10)
    (uploads.source / "zz").write_bytes(b"")
    assert (await uploads.pull()).complete
    for number in range(10):
        (uploads.source / f"file-{number}").write_text("another")
    (uploads.source / "zz").write_bytes(os.urandom(4_000_000))
    pulling = asyncio.create_task(uploads.pull(bandwidth=500_000))
    async with asyncio.timeout(20):
        while (uploads.target / "file-9").read_text() != "another":  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.05)
    pulling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pulling
    assert sum(new for _, _, new, _ in store.load("uploads", uploads.store).window) >= 10


async def encrypt(uploads: Mirror, first: int, last: int) -> None:
    for number in range(first, last):
        (uploads.source / f"file-{number}").write_text("encrypted")


def plain(uploads: Mirror) -> int:
    return sum((uploads.target / path.name).read_text() == "plain" for path in uploads.source.iterdir())


async def test_a_pull_too_stops_when_files_are_rewritten_as_whoever_encrypts_them_does(uploads: Mirror) -> None:
    for number in range(2400):
        (uploads.source / f"file-{number}").write_text("plain")
    assert (await uploads.pull()).complete
    await encrypt(uploads, 0, 2400)
    stopped = await uploads.pull()
    assert stopped.blocked and "encrypts" in str(stopped.reason) and stopped.held_back is not None
    left = plain(uploads)
    assert 900 <= left <= 1250, "what is allowed, and what was on its way already"
    again = await uploads.pull()
    assert again.blocked and plain(uploads) == left
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete and plain(uploads) == 0
    assert store.load("uploads", uploads.store).alarm is None


async def test_a_pull_too_stops_when_files_become_folders(uploads: Mirror) -> None:
    for number in range(2400):
        (uploads.source / f"file-{number}").write_text("plain")
    assert (await uploads.pull()).complete
    for path in list(uploads.source.iterdir()):
        path.unlink()
        path.mkdir()
    stopped = await uploads.pull()
    assert stopped.blocked and "encrypts" in str(stopped.reason)
    left = sum(path.is_file() for path in uploads.target.iterdir())
    assert left >= 600, "what is allowed, and what was on its way already"
    assert (await uploads.pull()).blocked
    assert sum(path.is_file() for path in uploads.target.iterdir()) == left
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete
    assert not any(path.is_file() for path in uploads.target.iterdir())


async def test_folders_that_are_new_are_no_attack(uploads: Mirror) -> None:
    (uploads.source / "one").write_text("x")
    assert (await uploads.pull()).complete
    for number in range(1500):
        (uploads.source / f"folder-{number}").mkdir()
    assert (await uploads.pull()).complete


async def test_a_file_that_is_rewritten_again_and_again_is_one_file(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log, or a small database: after so many pulls it would have stopped its set."""
    monkeypatch.setattr(budget, "LEAST_CHANGES", 3)
    fill(uploads.source, 2)
    assert (await uploads.pull()).complete
    for turn in range(6):
        (uploads.source / "file-0").write_text(f"another {turn}")
        (uploads.source / "file-1").write_text(f"another {turn}" if turn == 3 else "the same")
        result = await uploads.pull()
        assert result.complete, result.reason
    assert sum(new for _, _, new, _ in store.load("uploads", uploads.store).window) == 2


async def test_what_is_encrypted_from_pull_to_pull_adds_up_over_an_hour(uploads: Mirror) -> None:
    for number in range(1800):
        (uploads.source / f"file-{number}").write_text("plain")
    assert (await uploads.pull()).complete
    for part in range(2):
        await encrypt(uploads, 400 * part, 400 * (part + 1))
        assert (await uploads.pull()).complete
    await encrypt(uploads, 800, 1800)
    assert (await uploads.pull()).blocked
    assert plain(uploads) >= 650


async def test_files_that_are_new_or_only_touched_are_no_attack(uploads: Mirror) -> None:
    (uploads.source / "one").write_text("x")
    assert (await uploads.pull()).complete
    for number in range(1500):
        (uploads.source / f"file-{number}").write_text("new")
    assert (await uploads.pull()).complete
    for number in range(1500):
        (uploads.source / f"file-{number}").chmod(0o640)
    assert (await uploads.pull()).complete


@pytest.mark.parametrize("count", [1, 30])
async def test_a_source_that_is_suddenly_empty_leaves_the_copy_as_it_is(uploads: Mirror, count: int) -> None:
    fill(uploads.source, count)
    await uploads.pull()
    for path in uploads.source.iterdir():
        path.unlink()
    result = await uploads.pull()
    assert result.blocked
    assert "empty" in str(result.reason)
    assert len(list(uploads.target.iterdir())) == count


async def test_a_source_folder_that_is_gone_leaves_the_copy_as_it_is(uploads: Mirror) -> None:
    fill(uploads.source, 5)
    await uploads.pull()
    shutil.rmtree(uploads.source)
    result = await uploads.pull()
    assert (result.complete, result.blocked) == (False, True)
    assert len(list(uploads.target.iterdir())) == 5


async def test_a_source_that_is_not_mounted_refuses(tmp_path: Path) -> None:
    with mirror(tmp_path, mount="/it's 100% elsewhere") as elsewhere:
        fill(elsewhere.source, 2)
        result = await elsewhere.pull()
    assert result.blocked
    assert "not mounted" in str(result.reason)
    assert not elsewhere.target.exists()


async def test_a_daemon_that_does_not_answer_is_a_failed_pull_and_not_a_complete_one(uploads: Mirror) -> None:
    uploads.port = 1
    result = await uploads.pull()
    assert (result.complete, result.blocked) == (False, False)
    assert "refused" in str(result.reason)
    assert store.load("uploads", uploads.store).outcome == "failed"


async def test_what_stood_here_before_the_first_pull_is_moved_aside_and_not_lost(uploads: Mirror) -> None:
    fill(uploads.source, 3)
    uploads.target.mkdir(parents=True)
    (uploads.target / "mine").write_text("mine")
    (uploads.target / "file-1").write_text("also mine")
    told: list[Event] = []
    result = await uploads.pull(emit=told.append)
    assert result.complete
    assert uploads.tree(uploads.target) == uploads.tree(uploads.source)
    (aside,) = (uploads.store.parent / "aside").iterdir()
    assert (aside / "mine").read_text() == "mine"
    assert (aside / "file-1").read_text() == "also mine"
    assert any(str(aside) in getattr(event, "text", "") for event in told)


async def test_a_promoted_set_is_not_pulled_over_until_it_is_demoted(uploads: Mirror) -> None:
    fill(uploads.source, 3)
    await uploads.pull()
    await engine.promote(uploads.fileset, uploads.store)
    (uploads.target / "written-after").write_text("new")
    with pytest.raises(FinalError) as refused:
        await uploads.pull()
    assert refused.value.slug == "files-are-source"
    await engine.demote(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete
    (aside,) = (uploads.store.parent / "aside").iterdir()
    assert (aside / "written-after").read_text() == "new"


async def test_an_apply_names_each_set_that_is_the_original_at_the_standby_and_leaves_it_so(uploads: Mirror) -> None:
    spec = specification(1).model_copy(update={"files": (uploads.fileset,)})
    fill(uploads.source, 3)
    await uploads.pull()
    assert originals(spec, "oslo", uploads.store) == []
    await engine.promote(uploads.fileset, uploads.store)
    (found,) = originals(spec, "oslo", uploads.store)
    assert (found.name, found.site, found.ok) == ("file set uploads", "oslo", False)
    assert "secondsite failback" in str(found.hint) and "apply --replace-standby oslo" in str(found.hint)
    assert engine.is_original(uploads.fileset, uploads.store), "a look gives nothing up"
    await engine.give_up(uploads.fileset, uploads.store)
    assert originals(spec, "oslo", uploads.store) == []


async def test_a_folder_may_become_a_file_and_a_link(uploads: Mirror) -> None:
    for name in ("one", "two"):
        (uploads.source / name).mkdir()
        fill(uploads.source / name, 2)
    fill(uploads.source, 30)
    await uploads.pull()
    for name in ("one", "two"):
        shutil.rmtree(uploads.source / name)
    (uploads.source / "one").write_text("now a file")
    (uploads.source / "two").symlink_to("/etc")
    result = await uploads.pull()
    assert result.complete, result.reason
    assert (uploads.target / "one").read_text() == "now a file"
    assert (uploads.target / "two").is_symlink()
    assert Path("/etc/passwd").exists()


async def test_excluded_files_are_neither_fetched_nor_deleted(tmp_path: Path) -> None:
    with mirror(tmp_path, exclude=["*.tmp"]) as uploads:
        (uploads.source / "a.tmp").write_text("")
        (uploads.source / "b").write_text("")
        await uploads.pull()
        assert sorted(uploads.tree(uploads.target)) == ["b"]
        (uploads.target / "c.tmp").write_text("")
        await uploads.pull()
        assert (uploads.target / "c.tmp").exists()


async def test_verification_reads_the_content_and_not_the_times(uploads: Mirror) -> None:
    fill(uploads.source, 4)
    await uploads.pull()
    assert (await verify(uploads.fileset, ADDRESS, uploads.port, timeout=30)).differing == 0
    damaged = uploads.target / "file-2"
    times = damaged.stat()
    damaged.write_text("Content 2")
    os.utime(damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    (uploads.target / "extra").write_text("")
    found = await verify(uploads.fileset, ADDRESS, uploads.port, timeout=30)
    assert (found.differing, set(found.sample)) == (2, {"file-2", "extra"})


async def test_a_large_pull_tells_how_far_it_is(uploads: Mirror) -> None:
    (uploads.source / "large").write_bytes(os.urandom(8_000_000))
    told: list[Event] = []
    result = await uploads.pull(emit=told.append, bandwidth=4_000_000)
    seen = [event for event in told if isinstance(event, Progress)]
    assert result.bytes == 8_000_000
    assert seen[-1].done == 8_000_000
    assert result.seconds > 1


async def test_a_limit_that_is_changed_holds_for_the_pull_that_runs_and_nothing_is_copied_again(
    uploads: Mirror,
) -> None:
    """rsync cannot change its own limit: it is ended, and what it has of a file is taken up."""
    large = os.urandom(10_000_000)
    (uploads.source / "large").write_bytes(large)
    bandwidth.set_limit(uploads.fileset, 5_000_000, uploads.store)
    pulling = asyncio.create_task(uploads.pull())
    while sum(path.stat().st_size for path in uploads.target.glob(".large.*")) < 5_000_000:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    began = time.monotonic()
    bandwidth.set_limit(uploads.fileset, 1_500_000, uploads.store)
    result = await asyncio.wait_for(pulling, 30)
    took = time.monotonic() - began
    assert (result.complete, result.reason) == (True, None)
    assert 1.8 < took < 5.5  # at the old limit it would have been one second more, all of it anew seven
    assert (uploads.target / "large").read_bytes() == large
    assert [path.name for path in uploads.target.iterdir()] == ["large"]
    assert not store.unfinished("uploads", uploads.store)


async def test_a_source_that_lists_what_it_never_sends_gets_no_larger_budget(uploads: Mirror) -> None:
    """rsync counts a FIFO as one of the source's files, and an enemy can list as many as he likes."""
    fill(uploads.source, 10)
    for number in range(1000):
        os.mkfifo(uploads.source / f"fifo-{number}")
    assert (await uploads.pull()).complete
    assert store.load("uploads", uploads.store).entries == 11
    for number in range(9):
        (uploads.source / f"file-{number}").unlink()
    result = await uploads.pull()
    assert (result.blocked, result.held_back, result.deleted) == (True, 9, 0)
    assert len(list(uploads.target.iterdir())) == 10


async def test_promotion_ends_a_pull_that_runs_and_its_word_stays(uploads: Mirror) -> None:
    (uploads.source / "large").write_bytes(os.urandom(20_000_000))
    pulling = asyncio.create_task(uploads.pull(bandwidth=1_000_000))
    lock = uploads.store / "uploads.lock"
    async with asyncio.timeout(10):
        while not (lock.exists() and lock.read_text() and uploads.target.exists()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    began = time.monotonic()
    await engine.promote(uploads.fileset, uploads.store)
    assert time.monotonic() - began < 2
    result = await pulling
    assert not result.complete
    assert store.load("uploads", uploads.store).role == "source"
    assert not (uploads.target / "large").exists()


def alive_in(group: int) -> list[str]:
    """Processes of a group that are no zombies (proc(5), stat)."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, members = each.read_text().rpartition(")")[2].split()[:3]
            found += [each.parent.name] if int(members) == group and state != "Z" else []
    return found


async def test_an_rsync_whose_first_process_is_killed_is_no_pull_that_goes_on(uploads: Mirror) -> None:
    """Its receiver would wait for the source until its own time limit, and keep everybody waiting."""
    (uploads.source / "large").write_bytes(os.urandom(20_000_000))
    pulling = asyncio.create_task(uploads.pull(bandwidth=1_000_000))
    while not list(uploads.target.glob(".large.*")):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    pid = store.running("uploads", uploads.store)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    result = await asyncio.wait_for(pulling, 8)
    assert not result.complete
    for _ in range(200):
        if not alive_in(pid):
            break
        await asyncio.sleep(0.01)
    assert not alive_in(pid)
    assert store.unfinished("uploads", uploads.store)
    assert (await uploads.pull()).complete and not store.unfinished("uploads", uploads.store)
    assert sorted(path.name for path in uploads.target.iterdir()) == sorted(
        path.name for path in uploads.source.iterdir()
    )


@pytest.mark.parametrize("ended", ["the line", "the agent"])
async def test_a_large_file_goes_on_from_where_it_was_broken_off(uploads: Mirror, ended: str) -> None:
    large = uploads.source / "large"
    large.write_bytes(os.urandom(20_000_000))
    pulling = asyncio.create_task(uploads.pull(bandwidth=4_000_000))
    async with asyncio.timeout(20):
        while not any(path.stat().st_size > 8_000_000 for path in uploads.target.glob(".large.*")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    if ended == "the agent":
        pulling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pulling
    else:
        daemon = int(uploads.daemon.read_text())
        for child in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        assert not (await pulling).complete
    has = [path.stat().st_size for path in (uploads.target / command.PARTIAL).iterdir()]
    assert has and has[0] > 8_000_000
    began = time.monotonic()
    assert (await uploads.pull(bandwidth=4_000_000)).complete
    assert time.monotonic() - began < 4.0, "all of it takes five seconds"
    assert (uploads.target / "large").read_bytes() == large.read_bytes()


async def test_two_pulls_of_one_set_take_turns(uploads: Mirror) -> None:
    fill(uploads.source, 5)
    first, second = await asyncio.gather(uploads.pull(), uploads.pull())
    assert first.complete and second.complete
    assert {first.files, second.files} == {5, 0}


async def test_the_keeper_follows_the_source_while_this_site_is_standby(uploads: Mirror) -> None:
    spec = specification(1)
    files = (uploads.fileset.model_copy(update={"interval": 0.1}),)
    tunnel = Tunnel.model_validate({"network": "127.0.0.0/24", "files_port": uploads.port})
    keeper = Keeper(spec.model_copy(update={"files": files, "tunnel": tunnel}), "bergen", store=uploads.store)
    standby = False
    keeping = asyncio.create_task(keeper.keep(lambda: standby, lambda: not standby))
    fill(uploads.source, 3)
    await asyncio.sleep(0.5)
    assert [state.status for state in keeper.states()] == [FilesStatus.SOURCE]
    standby = True
    async with asyncio.timeout(10):
        while [state.status for state in keeper.states()] != [FilesStatus.CURRENT]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (uploads.source / "later").write_text("later")
    async with asyncio.timeout(10):
        while not (uploads.target / "later").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_files_that_never_reached_the_successor_are_listed_with_where_they_lie(uploads: Mirror) -> None:
    """Oslo pulls from bergen, which took over: what bergen had received is not among them, whatever became of it there,
    and what was moved in with an old mtime is."""
    fill(uploads.source, 4)
    await uploads.pull()
    await engine.promote(uploads.fileset, uploads.store)
    odd = os.fsdecode(b"odd-\xff")
    old = uploads.target / "file-3"
    await asyncio.sleep(0.2)
    # The edge lies in the middle of that sleep: a ctime is the clock of the last tick, up to 10 ms behind (time(7)).
    parted = time.time() - 0.1 + parting.CLOCKS_SECONDS
    (uploads.target / "new").mkdir()
    (uploads.target / "new" / "photo").write_text("never arrived")
    (uploads.target / odd).write_text("odd")
    (uploads.target / "file-1").write_text("changed here, never arrived")
    os.utime(uploads.target / "new" / "photo", (1e9, 1e9))
    (uploads.source / "file-2").write_text("changed there since")
    (uploads.source / "file-3").unlink()
    await engine.give_up(uploads.fileset, uploads.store, reached=parted, left=parting.Left(1, "0/5000A0"))
    assert old.exists(), "nothing is touched before the pull"
    assert (await uploads.pull()).complete
    (record,) = parting.records(uploads.store)
    assert {one["path"] for one in record["files"]} == {"new/photo", odd, "file-1"}
    assert (record["count"], record["older"], record["set"]) == (3, 0, "uploads")
    perhaps = {one["path"] for one in record["perhaps"]}
    assert perhaps == {"file-2", "file-3"}, "the folder has got new entries: they could have been moved in with it"
    assert (record["generation"], record["since"]) == (1, "0/5000A0"), "which failover it was, no clock decides"
    for one in record["files"]:
        kept = Path(one["kept"])
        assert kept.stat().st_size == one["bytes"] and str(uploads.store.parent / "aside") in one["kept"]
    assert Path(record["kept_in"][0], "new", "photo").read_text() == "never arrived"
    assert (await uploads.pull()).complete
    assert len(list(parting.records(uploads.store))) == 1, "they are listed once"


async def test_files_of_a_folder_that_was_moved_in_are_listed_although_their_ctime_is_old(uploads: Mirror) -> None:
    """Nobody can tell them from old ones whose folder got a new entry: they are listed apart, and not counted."""
    for name in ("still/old", "busy/old"):
        (uploads.source / name).parent.mkdir()
        (uploads.source / name).write_text("arrived")
    await uploads.pull()
    await engine.promote(uploads.fileset, uploads.store)
    staged = uploads.target.parent / "staged" / "deep"
    staged.mkdir(parents=True)
    (staged / "invoice").write_text("only here")
    await asyncio.sleep(0.2)
    parted = time.time() - 0.1 + parting.CLOCKS_SECONDS
    staged.parent.rename(uploads.target / "busy" / "batch")
    for name in ("still/old", "busy/old"):
        (uploads.source / name).unlink()
    await engine.give_up(uploads.fileset, uploads.store, reached=parted)
    await parting.note(uploads.fileset, parted, uploads.store)  # a note that is added to
    assert (await uploads.pull()).complete
    (record,) = parting.records(uploads.store)
    assert (record["count"], record["files"], record["older"]) == (0, [], 1), "still/old"
    assert {one["path"] for one in record["perhaps"]} == {"busy/batch/deep/invoice", "busy/old"}
    assert all(Path(one["kept"]).exists() for one in record["perhaps"])


async def test_lost_files_are_listed_although_the_agent_pulls_before_the_site_is_made_a_copy(uploads: Mirror) -> None:
    """The agent pulls as soon as the database here follows the other one, and that comes first."""
    fill(uploads.source, 2)
    uploads.target.mkdir(parents=True)
    (uploads.target / "only-here").write_text("never arrived")
    noted, demoted = (
        converge.Noted(uploads.fileset, store=uploads.store),
        converge.Demoted(uploads.fileset, store=uploads.store),
    )
    for resource in (noted, demoted):
        change = await resource.plan()
        if change is not None:
            await resource.apply(change, ignore)
            assert await resource.plan() is None
        assert (await uploads.pull()).complete
    lost = [one["path"] for record in parting.records(uploads.store) for one in record["files"]]
    assert lost == ["only-here"]
    assert await noted.plan() is None and await demoted.plan() is None


async def test_what_was_written_where_a_copy_became_the_primary_by_hand_is_kept_and_listed(uploads: Mirror) -> None:
    """No procedure of ours has made it the original: the record says that it was pulled over, and completely."""
    fill(uploads.source, 2)
    assert (await uploads.pull()).complete
    keeper = Keeper(specification(1).model_copy(update={"files": (uploads.fileset,)}), "bergen", store=uploads.store)
    keeping = asyncio.create_task(keeper.keep(lambda: False, lambda: True))
    (uploads.target / "only-here").write_text("written by the application that was started here")
    async with asyncio.timeout(10):
        while store.load("uploads", uploads.store).settled:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    for resource in (converge.Noted(uploads.fileset, store=uploads.store), demoted(uploads)):
        change = await resource.plan()
        assert change is not None, resource.name
        await resource.apply(change, ignore)
    assert (await uploads.pull()).complete
    assert not (uploads.target / "only-here").exists()
    (lost,) = [one for record in parting.records(uploads.store) for one in record["files"]]
    assert lost["path"] == "only-here" and Path(lost["kept"]).exists()


async def test_a_pull_that_runs_when_the_site_is_promoted_by_hand_is_ended(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uploads.source, 20)
    files = (uploads.fileset.model_copy(update={"interval": 0.1, "bandwidth": 4_000_000}),)
    tunnel = Tunnel.model_validate({"network": "127.0.0.0/24", "files_port": uploads.port})
    keeper = Keeper(
        specification(1).model_copy(update={"files": files, "tunnel": tunnel}), "bergen", store=uploads.store
    )
    primary = False
    keeping = asyncio.create_task(keeper.keep(lambda: not primary, lambda: primary))
    async with asyncio.timeout(20):
        while not store.load("uploads", uploads.store).settled:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        (uploads.source / "file-1").unlink()
        (uploads.source / "a-large-one").write_bytes(os.urandom(30_000_000))
        while not list(uploads.target.glob(".a-large-one*")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    primary = True
    (uploads.target / "order").write_text("only here")
    await asyncio.sleep(3)
    assert not keeper._pulling and not list(uploads.target.glob("a-large-one")), "it would have taken seven seconds"
    assert (uploads.target / "order").exists() and (uploads.target / "file-1").exists()
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


def demoted(uploads: Mirror) -> converge.Demoted:
    return converge.Demoted(uploads.fileset, store=uploads.store)


async def test_what_was_written_after_an_attempt_that_came_to_nothing_is_listed_too(uploads: Mirror) -> None:
    fill(uploads.source, 2)
    uploads.target.mkdir(parents=True)
    for name in ("before", "after"):
        (uploads.target / name).write_text("never arrived")
        for resource in (converge.Noted(uploads.fileset, store=uploads.store), demoted(uploads)):
            change = await resource.plan()
            if change is not None:
                await resource.apply(change, ignore)
                assert await resource.plan() is None
    assert (await uploads.pull()).complete
    assert {one["path"] for record in parting.records(uploads.store) for one in record["files"]} == {"before", "after"}


async def test_two_partings_of_one_second_are_two_lists(uploads: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((1_800_000_000.25, 1_800_000_000.75))
    for name in ("first", "second"):
        uploads.target.mkdir(parents=True, exist_ok=True)
        (uploads.target / name).write_text("never arrived")
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda: next(moments))
            await engine.give_up(uploads.fileset, uploads.store)
        assert (await uploads.pull()).complete
    assert [one["path"] for each in parting.records(uploads.store) for one in each["files"]] == ["first", "second"]


def stir(folder: Path, go_on: Callable[[], bool]) -> int:
    """Folders come, go and change places, and files with them, as fast as that can be. How often.

    No two contents have one size. Of two folders that change places between rsync's look and its read, it sends the
    one's content with the other's time, and only a size that differs, or what the stream tells, has it look again.
    """
    count = 0
    while go_on():
        here, there = folder / f"folder-{count % 40}", folder / f"folder-{(count * 7 + 3) % 40}"
        with contextlib.suppress(OSError):
            match count % 4:
                case 0:
                    shutil.rmtree(here)
                case 1:
                    here.rename(folder / "aside")
                    there.rename(here)
                    (folder / "aside").rename(there)
                case _:
                    (there / "deep" / f"{count % 5}").mkdir(parents=True, exist_ok=True)
                    for number in range(20):
                        (there / "deep" / f"{count % 5}" / f"file-{number}").write_text("x" * count)
        count += 1
        time.sleep(0.002)
    return count


async def test_a_live_tree_is_pulled_in_its_time_however_it_changes(tmp_path: Path) -> None:
    """rsync that sends its list bit by bit hung here (--delete without --no-inc-recursive, 3.5.0)."""
    with mirror(tmp_path, max_delete="100%", max_change="100%") as uploads:
        for folder in range(40):
            (uploads.source / f"folder-{folder}").mkdir()
            fill(uploads.source / f"folder-{folder}", 50)
        assert (await uploads.pull()).complete
        argv = command.pull("rsync://x", uploads.target)
        assert "--no-inc-recursive" in argv and f"--timeout={command.IO_SECONDS}" in argv
        busy, turns, uploads.seconds = True, 0, 15
        pulls: list[PullResult] = []

        def go_on() -> bool:
            nonlocal turns
            turns += 1
            return busy

        with ThreadPoolExecutor(1) as pool:
            works = pool.submit(stir, uploads.source, go_on)
            try:
                while turns <= 100 or not any(one.complete and one.files > 100 for one in pulls):
                    pulls.append(await uploads.pull())
                    if len(pulls) == 20:
                        break
            finally:
                busy = False
            assert works.result(timeout=10) > 100
        assert all(one.seconds < uploads.seconds + 5 for one in pulls), (
            "complete, or ended by its limit and tried again"
        )
        assert any(one.complete and one.files > 100 for one in pulls), pulls
        uploads.seconds = 60
        assert (await uploads.pull()).complete
        assert uploads.tree(uploads.target) == uploads.tree(uploads.source)


async def test_what_goes_while_the_files_are_noted_is_passed_over(uploads: Mirror) -> None:
    """An application that still works there makes and removes temporary files."""
    uploads.target.mkdir(parents=True)
    (uploads.target / "here").write_text("x")
    busy = True

    def flicker() -> None:
        while busy:
            folder = uploads.target / "temporary"
            folder.mkdir()
            (folder / "file").write_text("x")
            (folder / "file").unlink()
            folder.rmdir()

    with ThreadPoolExecutor(1) as pool:
        works = pool.submit(flicker)
        try:
            for _ in range(300):
                await parting.note(uploads.fileset, None, uploads.store)
        finally:
            busy = False
        works.result(timeout=10)


def test_folders_of_one_second_are_told_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    made = []
    for _ in range(12):
        made.append(parting.aside_folder("uploads", tmp_path / "files"))
        made[-1].mkdir(parents=True)
    assert parting._asides("uploads", tmp_path / "files") == made


async def test_lost_files_are_listed_although_the_first_pull_was_cut_off_half_way(uploads: Mirror) -> None:
    fill(uploads.source, 2)
    uploads.target.mkdir(parents=True)
    (uploads.target / "only-here").write_text("never arrived")
    (uploads.target / "file-0").write_text("never arrived either")
    await engine.give_up(uploads.fileset, uploads.store, reached=None, left=parting.Left(1, "0/5000A0"))
    await parting.note(uploads.fileset, None, uploads.store)
    first = parting.aside_folder("uploads", uploads.store)  # what a pull that died had moved by then
    first.mkdir(parents=True)
    (uploads.target / "file-0").rename(first / "file-0")
    (uploads.target / "file-0").write_text("pulled by the first, changed at the source since")
    assert (await uploads.pull()).complete
    (record,) = parting.records(uploads.store)
    kept = {one["path"]: Path(one["kept"]) for one in record["files"]}
    assert kept["file-0"].read_text() == "never arrived either" and kept["file-0"].parent == first
    assert kept["only-here"].read_text() == "never arrived" and kept["only-here"].parent != first
    assert record["complete_until"] is None, "no pull was ever complete: everything counts"
    assert (record["generation"], record["since"]) == (1, "0/5000A0"), "a note that is added to keeps what it knows"


async def test_what_became_a_fifo_or_a_device_is_no_file_of_the_copy_any_more(uploads: Mirror) -> None:
    names = ["plain", "new\nline", "grüße", 'quote"s', "back\\#012slash", "b\udcffytes"]
    for name in names:
        (uploads.source / name).write_text("a file")
    (uploads.source / "folder" / "deep").mkdir(parents=True)
    (uploads.source / "folder" / "deep" / "file").write_text("x")
    (uploads.source / "link").symlink_to("plain")
    fill(uploads.source, 100)
    assert (await uploads.pull()).complete
    shutil.rmtree(uploads.source / "folder")
    for name in [*names, "link"]:
        (uploads.source / name).unlink()
        os.mkfifo(uploads.source / name)
    os.mknod(uploads.source / "folder", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    compared = await verify(uploads.fileset, ADDRESS, uploads.port, timeout=60)
    assert compared.differing == len(names) + 2
    result = await uploads.pull()
    assert (result.complete, result.deleted) == (True, len(names) + 4)
    assert {path.name for path in uploads.target.iterdir()} == {f"file-{number}" for number in range(100)}
    assert (await uploads.pull()).deleted == 0


async def test_what_became_a_fifo_counts_against_the_deletion_budget(uploads: Mirror) -> None:
    fill(uploads.source, 100)
    assert (await uploads.pull()).complete
    for number in range(60):
        (uploads.source / f"file-{number}").unlink()
        os.mkfifo(uploads.source / f"file-{number}")
    result = await uploads.pull()
    assert (result.complete, result.blocked, result.held_back) == (False, True, 60)
    assert len(list(uploads.target.iterdir())) == 100


async def test_what_bears_the_name_of_a_fifo_before_the_first_pull_goes_aside(uploads: Mirror) -> None:
    os.mkfifo(uploads.source / "pipe")
    uploads.target.mkdir(parents=True)
    (uploads.target / "pipe").write_text("somebody's")
    assert (await uploads.pull()).complete
    assert not (uploads.target / "pipe").exists()
    (kept,) = uploads.store.parent.rglob("pipe")
    assert kept.read_text() == "somebody's"


async def test_what_bears_the_name_of_a_fifo_goes_aside_to_another_file_system_too(tmp_path: Path) -> None:
    with ExitStack() as undo:
        uploads = undo.enter_context(mirror(tmp_path))
        for name in ("file", "link", "folder", "fifo"):
            os.mkfifo(uploads.source / name)
        fill(uploads.source, 2)
        uploads.target.parent.mkdir(parents=True)
        mounted(undo, uploads.target, "-t", "tmpfs", "tmpfs")
        (uploads.target / "file").write_text("somebody's")
        (uploads.target / "link").symlink_to("file")
        (uploads.target / "folder").mkdir(mode=0o700)
        os.mkfifo(uploads.target / "fifo", 0o600)
        os.mknod(uploads.target / "folder" / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        (uploads.target / "folder" / "inner").write_text("somebody's")
        assert (await uploads.pull()).complete
        assert sorted(path.name for path in uploads.target.iterdir()) == ["file-0", "file-1"]
        (aside,) = [path.parent for path in uploads.store.parent.rglob("fifo")]
        assert (aside / "file").read_text() == (aside / "folder" / "inner").read_text() == "somebody's"
        assert (aside / "link").readlink() == Path("file")
        assert stat.S_ISFIFO((aside / "fifo").stat().st_mode)
        assert (aside / "folder" / "device").stat().st_rdev == os.makedev(1, 3)
        assert (await uploads.pull()).complete


@pytest.mark.parametrize("settled", [True, False])
async def test_what_a_set_leaves_out_stays_in_a_folder_that_became_a_fifo(tmp_path: Path, settled: bool) -> None:
    with mirror(tmp_path, exclude=["*.mine"], max_delete="100%") as uploads:
        (uploads.source / "folder").mkdir()
        (uploads.source / "folder" / "gone").write_text("x")
        fill(uploads.source, 5)
        if settled:
            assert (await uploads.pull()).complete
        else:
            shutil.copytree(uploads.source, uploads.target)
        (uploads.target / "folder" / "kept.mine").write_text("mine")
        shutil.rmtree(uploads.source / "folder")
        os.mkfifo(uploads.source / "folder")
        for _ in range(2):
            assert (await uploads.pull()).complete
            assert [path.name for path in (uploads.target / "folder").iterdir()] == ["kept.mine"]
        assert len(list(uploads.store.parent.rglob("gone"))) == (0 if settled else 1)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_goes_aside_leads_nowhere_through_a_link_that_went_there_before(
    tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source can have rsync say of anything that it is skipped, and dictates what rsync puts aside."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "passwd").write_text("the real one")
    with ExitStack() as undo:
        uploads = undo.enter_context(mirror(tmp_path))
        (uploads.source / "d").mkdir()
        (uploads.source / "d" / "passwd").write_text("planted")
        uploads.target.parent.mkdir(parents=True)
        if elsewhere:
            mounted(undo, uploads.target, "-t", "tmpfs", "tmpfs")
        uploads.target.mkdir(exist_ok=True)
        (uploads.target / "d").symlink_to(victim)
        monkeypatch.setattr(irregular, "skipped", lambda output: [b"d/passwd", b"d"])
        told: list[Event] = []
        assert (await uploads.pull(emit=told.append)).complete
        assert not (uploads.target / "d").exists()
        assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("passwd", "the real one")]
        link, folder = sorted((uploads.store.parent / "aside").glob("*/d"))
        assert link.is_symlink() and (folder / "passwd").read_text() == "planted"
        assert all(any(str(kept.parent) in getattr(event, "text", "") for event in told) for kept in (link, folder))


async def test_a_pull_that_only_counts_when_its_copy_is_promoted_writes_nothing_more(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that could be ended runs then, and a promotion waits for nobody."""
    fill(uploads.source, 20)
    assert (await uploads.pull()).complete
    (uploads.source / "file-0").unlink()
    counts, goes_on, entries = threading.Event(), threading.Event(), irregular.entries

    def slow(target: Path, patterns: Sequence[str]) -> int | None:
        counts.set()
        goes_on.wait(20)
        return entries(target, patterns)

    monkeypatch.setattr(irregular, "entries", slow)
    pulling = asyncio.create_task(uploads.pull())
    assert await asyncio.to_thread(counts.wait, 20)
    began = time.monotonic()
    await engine.promote(uploads.fileset, uploads.store)
    assert time.monotonic() - began < 2
    (uploads.target / "file-1").write_text("written by the application")
    (uploads.target / "new").write_text("only here")
    goes_on.set()
    result = await pulling
    assert not result.complete and "original" in str(result.reason)
    assert (uploads.target / "file-1").read_text() == "written by the application"
    assert (uploads.target / "new").exists() and (uploads.target / "file-0").exists()
    assert store.load("uploads", uploads.store).role == "source"


async def test_an_rsync_that_begins_while_its_copy_is_promoted_is_ended_at_once(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promotion has looked whether one runs before this one was noted."""
    (uploads.source / "large").write_bytes(os.urandom(4_000_000))
    running = store.Held.running

    def noted(held: store.Held, pid: int | None) -> None:
        if pid is not None:
            store.save("uploads", replace(store.load("uploads", uploads.store), role="source"), uploads.store)
        running(held, pid)

    monkeypatch.setattr(store.Held, "running", noted)
    result = await uploads.pull(bandwidth=4_000_000)
    assert not result.complete and "original" in str(result.reason)
    assert list(uploads.target.iterdir()) == []


def test_nothing_more_is_taken_away_once_the_copy_is_promoted(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    fill(folder, 4)
    asked = 0

    def may() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise Taken

    with pytest.raises(Taken):
        paths = [path.name.encode() for path in sorted(folder.iterdir())]
        irregular.remove(folder, paths, tmp_path / "aside", Excludes(()), may)
    assert len(list(folder.iterdir())) == 3
    with pytest.raises(Taken):
        irregular.remove(folder, paths, None, Excludes(()), may)
    assert len(list(folder.iterdir())) == 3


def deep(folder: Path, depth: int) -> None:
    """One file below many folders."""
    inside = folder.joinpath(*["d"] * depth)
    inside.mkdir(parents=True)
    (inside / "file").write_text("x")


async def test_a_deep_tree_that_is_gone_counts_with_its_folders_and_goes_when_a_person_has_agreed(
    uploads: Mirror,
) -> None:
    """rsync tells in advance how many files it would delete, and counts folders only when it comes to them."""
    fill(uploads.source, 3)
    deep(uploads.source / "deep", 40)
    assert (await uploads.pull()).complete
    shutil.rmtree(uploads.source / "deep")
    result = await uploads.pull()
    assert (result.complete, result.blocked) == (False, True)
    assert "the deletion budget is" in str(result.reason)
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete
    assert {path.name for path in uploads.target.iterdir()} == {"file-0", "file-1", "file-2"}


async def test_without_a_budget_a_deep_tree_that_is_gone_beside_new_files_goes_at_once(uploads: Mirror) -> None:
    uploads.fileset = uploads.fileset.model_copy(update={"max_delete": 1.0})
    deep(uploads.source / "deep", 40)
    assert (await uploads.pull()).complete
    shutil.rmtree(uploads.source / "deep")
    fill(uploads.source, 3)
    assert (await uploads.pull()).complete


async def test_a_pull_writes_nothing_below_a_file_system_inside_the_copy_that_is_not_mounted(uploads: Mirror) -> None:
    (uploads.source / "media").mkdir()
    (uploads.source / "media" / "film").write_text("x")
    assert (await uploads.pull()).complete
    media, elsewhere = uploads.target / "media", uploads.target.parent / "not-in-the-copy"
    record = store.load("uploads", uploads.store)
    known = replace(record, inner=(str(elsewhere), str(media)), epoch="followed")
    store.save("uploads", known, uploads.store)
    (uploads.source / "media" / "new").write_text("x")
    result = await uploads.pull()
    assert result.blocked and str(result.reason).startswith(f"{media} is not mounted inside the copy: mount it, or run")
    assert not (media / "new").exists()
    assert store.load("uploads", uploads.store).epoch is None, "what it holds when it is back must be compared"
    with ExitStack() as undo:
        media.rename(uploads.target.parent / "away")
        mounted(undo, media, "-t", "tmpfs", "tmpfs")
        assert (await uploads.pull()).complete
        assert (media / "new").exists()
