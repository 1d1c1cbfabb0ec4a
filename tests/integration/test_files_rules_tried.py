"""What a rule allows, a person's word covers, and a promotion ends: tried by whoever wants more than that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.errors import SecondsiteError
from secondsite.files import engine, store
from secondsite.files.rsync import runner
from secondsite.files.rsync.output import Stats
from secondsite.files.rsync.passes import Passes
from secondsite.files.stream import wire
from secondsite.files.stream.follow import Follower, Mark
from secondsite.files.stream.take import End
from tests.integration.file_daemon import ADDRESS, Mirror, mirror
from tests.integration.stream_pair import pair
from tests.integration.test_files_hostile import commit, entry

COUNT = 400


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Mirror]:
    with mirror(tmp_path, max_change="30%", max_delete="10%") as ready:
        yield ready


async def follow(its: Mirror, *frames: bytes) -> End | SecondsiteError:
    """A hostile source's words; large files come from the real daemon."""
    record = store.load("uploads", its.store)
    store.save("uploads", replace(record, epoch="e", seq=0), its.store)
    own, theirs = socket.socketpair()
    own.setblocking(False)

    async def call(request: Mapping[str, Any]) -> socket.socket:
        return own

    reader, writer = await asyncio.open_connection(sock=theirs)

    async def talk() -> None:
        with contextlib.suppress(OSError):
            writer.write(wire.words(wire.HELLO, epoch="e", seq=0, as_of=1.0, now=1.0, reconcile=False))
            for one in frames:
                writer.write(one)
                await writer.drain()
            await reader.read()

    async def cut() -> None:
        await asyncio.sleep(20)
        writer.close()

    tasks = [asyncio.ensure_future(talk()), asyncio.ensure_future(cut())]
    try:
        async with asyncio.timeout(40):
            return await Follower(its.fileset, ADDRESS, its.port, call, store=its.store).follow()
    except SecondsiteError as refused:
        return refused
    finally:
        for task in tasks:
            task.cancel()
        writer.close()


def fill(folder: Path, count: int = COUNT) -> None:
    for number in range(count):
        (folder / f"file-{number:04}").write_bytes(b"plain" * 20)


def plain(its: Mirror) -> int:
    return sum(not p.is_symlink() and p.is_file() and p.read_bytes() == b"plain" * 20 for p in its.target.iterdir())


def rewritten(its: Mirror) -> int:
    return sum(new for _, _, new, _ in store.load("uploads", its.store).window)


async def test_a_source_that_lies_about_what_is_fetched_rewrites_no_more_than_is_allowed(uploads: Mirror) -> None:
    """Told: size and time as they are here, another mode. Served: something else."""
    fill(uploads.source)
    assert (await uploads.pull()).complete
    told = []
    for path in sorted(uploads.target.iterdir()):
        at = path.stat()
        told.append(entry(path=path.name, size=at.st_size, parts=None, at=[0o600, 0, 0, at.st_mtime_ns, []]))
    for path in uploads.source.iterdir():
        path.write_bytes(b"ENCRY" * 21)
    await follow(uploads, *told, commit(len(told)))
    assert store.load("uploads", uploads.store).alarm == "changes"
    assert plain(uploads) >= COUNT * 0.6


async def test_large_files_that_were_encrypted_and_given_their_times_back_stop_where_too_many_are(
    uploads: Mirror,
) -> None:
    """What an honest source tells of large files that were encrypted and given their times back."""
    fill(uploads.source)
    assert (await uploads.pull()).complete
    told = []
    for path in sorted(uploads.source.iterdir()):
        at = path.stat()
        path.write_bytes(b"ENCRY" * 20)
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
        told.append(entry(path=path.name, size=100, parts=None, at=[at.st_mode & 0o7777, 0, 0, at.st_mtime_ns, []]))
    await follow(uploads, *told, commit(len(told)))
    assert plain(uploads) >= COUNT * 0.6


@pytest.mark.parametrize("how", ["mount", "inner"])
async def test_an_alarm_outlives_a_disk_that_is_missing_for_a_moment(uploads: Mirror, how: str) -> None:
    fill(uploads.source)
    assert (await uploads.pull()).complete
    for path in uploads.source.iterdir():
        path.write_bytes(b"ENCRY" * 21)
    assert (await uploads.pull()).blocked
    good = store.load("uploads", uploads.store)
    assert good.alarm == "changes" and good.held_back
    away = {"mount": "/nowhere"} if how == "mount" else {"inner": (str(uploads.target / "sub"),)}
    store.save("uploads", replace(good, **away), uploads.store)  # it is not mounted at the boot
    result = await uploads.pull()
    back = replace(store.load("uploads", uploads.store), mount=good.mount, inner=good.inner)
    store.save("uploads", back, uploads.store)
    for _ in range(3):
        result = await uploads.pull()
        assert result.blocked and "encrypts" in str(result.reason) and result.held_back
    await engine.allow_deletions(uploads.fileset, uploads.store)
    assert (await uploads.pull()).complete


@pytest.mark.parametrize("rewritten_to, deleted_to", [(500, 700), (450, 760)])
async def test_an_upgrade_that_rewrites_and_deletes_gets_through_on_a_word_for_each(
    uploads: Mirror, rewritten_to: int, deleted_to: int
) -> None:
    """Each time a person agrees; meanwhile the application rewrites one file. The alarms do not take turns for ever."""
    fill(uploads.source, 800)
    assert (await uploads.pull()).complete
    for number in range(rewritten_to):
        (uploads.source / f"file-{number:04}").write_bytes(b"new release")
    for number in range(rewritten_to, deleted_to):
        (uploads.source / f"file-{number:04}").unlink()
    for turn in range(8):
        if (await uploads.pull()).complete:
            return
        await engine.allow_deletions(uploads.fileset, uploads.store)
        (uploads.source / f"file-{deleted_to + turn:04}").write_bytes(b"the application goes on")
    raise AssertionError(store.load("uploads", uploads.store))


async def test_a_word_for_changes_deletes_no_more_than_the_budget(uploads: Mirror) -> None:
    fill(uploads.source)
    assert (await uploads.pull()).complete
    for number in range(200):
        (uploads.source / f"file-{number:04}").write_bytes(b"new release")
    assert (await uploads.pull()).blocked
    assert store.load("uploads", uploads.store).alarm == "changes"
    shown = await engine.allow_deletions(uploads.fileset, uploads.store)
    for number in range(400 - shown, 400):
        (uploads.source / f"file-{number:04}").unlink()
    result = await uploads.pull()
    assert result.deleted <= 40


async def test_a_word_for_changes_is_used_up_by_them_also_where_the_deletions_behind_them_fail(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uploads.source)
    assert (await uploads.pull()).complete
    for number in range(200):
        (uploads.source / f"file-{number:04}").write_bytes(b"new release")
    assert (await uploads.pull()).blocked
    await engine.allow_deletions(uploads.fileset, uploads.store)
    for number in range(300, 400):
        (uploads.source / f"file-{number:04}").unlink()

    async def cut(work: Passes, seen: Stats) -> bool:
        work.reason = "the line was cut"
        return False

    with monkeypatch.context() as patch:
        patch.setattr("secondsite.files.rsync.pull.delete", cut)
        assert not (await uploads.pull()).complete
    result = await uploads.pull()
    assert (result.blocked, result.deleted, result.held_back) == (True, 0, 100)


async def test_nothing_is_fetched_over_a_copy_that_was_promoted_before_the_fetching_began(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uploads.source)
    assert (await uploads.pull()).complete
    (uploads.source / "file-0001").write_bytes(b"the old source's")
    at = (uploads.source / "file-0001").stat()
    told = entry(path="file-0001", size=at.st_size, parts=None, at=[0o644, 0, 0, at.st_mtime_ns, []])
    real, began, promoted = runner.run, asyncio.Event(), asyncio.Event()

    async def slow(*given: Any, **more: Any) -> Any:  # a host under load, or whose disk is slow, starts it late
        began.set()
        await promoted.wait()
        return await real(*given, **more)

    monkeypatch.setattr("secondsite.files.rsync.fetch.run", slow)
    following = asyncio.ensure_future(follow(uploads, told, commit(1)))
    await began.wait()
    await engine.promote(uploads.fileset, uploads.store)
    (uploads.target / "file-0001").write_bytes(b"the application's, at the new original")
    promoted.set()
    assert await following is End.PROMOTED
    assert (uploads.target / "file-0001").read_bytes() == b"the application's, at the new original"


async def test_files_that_were_made_anew_with_their_old_content_do_not_go_for_new_ones(uploads: Mirror) -> None:
    """The source says 'sparse' of each small file: it is made again here, with the same content, and counts as new."""
    fill(uploads.source)
    assert (await uploads.pull()).complete
    await asyncio.sleep(0.1)
    told = []
    for path in sorted(uploads.target.iterdir()):
        at = path.stat()
        told.append(
            entry(
                path=path.name,
                content=path.read_bytes(),
                sparse=True,
                at=[at.st_mode & 0o7777, 0, 0, at.st_mtime_ns, []],
            )
        )
    await follow(uploads, *told, commit(len(told)))
    for path in list(uploads.source.iterdir()):
        path.unlink()
    for number in range(COUNT):
        (uploads.source / f"junk-{number}").touch()
    assert (await uploads.pull()).blocked
    assert plain(uploads) >= COUNT * 0.85


async def test_hard_links_that_replace_files_are_counted(uploads: Mirror) -> None:
    """rsync makes them all at its end, within a moment: what they have replaced is in the versions alone."""
    fill(uploads.source)
    assert (await uploads.pull()).complete
    for path in list(uploads.source.iterdir()):
        path.unlink()
    (uploads.source / "file-0000").write_bytes(b"garbage")
    for number in range(1, COUNT):
        os.link(uploads.source / "file-0000", uploads.source / f"file-{number:04}")
    result = await uploads.pull()
    assert result.blocked and rewritten(uploads) >= COUNT * 0.3


async def test_a_word_is_kept_while_the_source_is_away(uploads: Mirror) -> None:
    fill(uploads.source)
    assert (await uploads.pull()).complete
    for path in uploads.source.iterdir():
        path.write_bytes(b"ENCRY" * 21)
    assert (await uploads.pull()).blocked
    await engine.allow_deletions(uploads.fileset, uploads.store)
    moved = uploads.source.rename(uploads.source.parent / "moved")
    assert (await uploads.pull()).blocked
    moved.rename(uploads.source)
    assert (await uploads.pull()).complete


async def test_while_deletions_wait_the_moment_is_the_sources(tmp_path: Path) -> None:
    """Its clock is an hour behind."""
    with mirror(tmp_path) as ready:
        ends = pair(ready, tmp_path, max_delete=0.1)
        fill(ends.source)
        for turn in range(2):
            mark = Mark("epoch", turn, time.time() - 3600)
            await ends.keeper._pull(ready.fileset, mark)
            assert ends.record.outcome == ("complete", "blocked")[turn]
            assert ends.record.complete_at == mark.at
            for number in range(200):
                (ends.source / f"file-{number:04}").unlink(missing_ok=True)
