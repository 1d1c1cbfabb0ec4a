"""What encrypts a set that ZFS mirrors stops the rounds, and costs the copy nothing; an upload stops nothing."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from secondsite.events import ignore
from secondsite.files import budget
from secondsite.files import store as records
from secondsite.files.engine import allow_deletions
from secondsite.files.state import FilesStatus
from secondsite.files.versions.acts import perform
from secondsite.files.zfs import changed, look
from tests.integration.file_daemon import ADDRESS
from tests.integration.zfs_sites import Machine, Pair, Site, machine_alone, pair

FILES = 60


@pytest.fixture(scope="module")
def zfs_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_alone(tmp_path_factory.mktemp("zfs")) as ready:
        yield ready


@pytest.fixture
async def sites(zfs_host: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """A copy of 60 files, with a dataset in it, of which more than 30 within an hour are an alarm."""
    monkeypatch.setattr(budget, "LEAST_CHANGES", 10)
    monkeypatch.setattr(changed, "RESTS", 0)
    async with pair(zfs_host, tmp_path) as both:
        both.oslo.zfs(f"create {both.oslo.root}/kid")
        for number in range(FILES):
            file(both, number).write_text(f"content {number}")
        await both.begin()
        assert dict(both.bergen.record.counted).keys() == {"", "kid"}
        yield both


def file(sites: Pair, number: int) -> Path:
    return sites.oslo.seen / ("kid" if number % 2 else "") / f"file-{number:03}"


def encrypted(sites: Pair, numbers: range) -> None:
    for number in numbers:
        path = file(sites, number)
        path.write_bytes(os.urandom(len(path.read_bytes())))


def left(site: Site) -> list[str]:
    clones = [each for each in site.zfs("list -H -o name -t filesystem").split() if "-secondsite-look-" in each]
    return [*clones, *(each.name for each in (site.machine.host.root / str(site.store / look.LOOKS)[1:]).glob("*"))]


async def test_files_that_are_all_encrypted_pause_the_rounds_until_a_person_agrees(sites: Pair) -> None:
    bergen, clean = sites.bergen, sites.bergen.record.counted
    at = bergen.record.complete_at
    encrypted(sites, range(50))
    stopped = await sites.round()
    assert stopped.blocked and not stopped.complete and stopped.held_back == 50
    assert "50 of 60 files and folders were rewritten" in str(stopped.reason) and "files list" in str(stopped.reason)
    assert (bergen.record.alarm, bergen.record.counted, bergen.record.complete_at) == ("changes", clean, at)
    state = await bergen.engine(sites.oslo).observe(standby=True)
    assert state.status is FilesStatus.BLOCKED and state.held_back == 50 and state.reason == stopped.reason
    assert left(bergen) == []
    (sites.oslo.seen / "later").write_text("not brought while nobody has looked")
    guids = await bergen.guids()
    again = await sites.round()
    assert (again.blocked, again.reason, again.held_back) == (True, stopped.reason, 50)
    assert await bergen.guids() == guids and dict(clean)[""] in guids
    assert await allow_deletions(bergen.fileset, bergen.store) == 50
    assert (await sites.round()).complete
    assert bergen.record.alarm is None and bergen.read(bergen.root, "later")
    assert (await sites.round()).complete


async def test_a_failover_goes_on_behind_an_alarm_and_the_files_of_before_come_back(sites: Pair) -> None:
    encrypted(sites, range(50))
    assert (await sites.round()).blocked
    bergen = sites.bergen
    await bergen.engine(sites.oslo).promote()
    assert (bergen.seen / "file-000").read_bytes() != b"content 0"
    listed = await perform(
        "versions-list", bergen.fileset, {}, peer=ADDRESS, port=1, emit=ignore, store=bergen.store,
        host=bergen.machine.host,
    )  # fmt: skip
    assert len(listed["versions"]) >= 2


async def test_what_is_renamed_is_counted_and_so_is_what_keeps_its_size_and_time(sites: Pair) -> None:
    for number in range(20):
        file(sites, number).rename(file(sites, number).with_suffix(".locked"))
    for number in range(20, 40):
        path = file(sites, number)
        times = path.stat()
        encrypted(sites, range(number, number + 1))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    stopped = await sites.round()
    assert stopped.blocked and stopped.held_back == 40


async def test_new_files_new_attributes_and_a_large_upload_are_no_alarm_and_few_rewrites_neither(sites: Pair) -> None:
    for number in range(100):
        (sites.oslo.seen / f"new-{number}").write_text("an upload")
    (sites.oslo.seen / "large").write_bytes(os.urandom(3_000_000))
    for number in range(FILES):
        file(sites, number).chmod(0o640)
    encrypted(sites, range(20))
    assert (await sites.round()).complete
    record = sites.bergen.record
    assert record.entries == FILES + 101 and sum(new for _, _, new, _ in record.window) == 20
    assert record.counted == record.reached and record.uncounted == 0 and left(sites.bergen) == []


async def test_slow_encryption_is_noticed_within_the_hour(sites: Pair) -> None:
    encrypted(sites, range(20))
    assert (await sites.round()).complete
    encrypted(sites, range(20, 40))
    stopped = await sites.round()
    assert stopped.blocked and "40 of 60" in str(stopped.reason)


async def test_a_file_that_is_rewritten_again_and_again_is_one_file(sites: Pair) -> None:
    for turn in range(3):
        for number in range(15):
            file(sites, number).write_text(f"another content {turn}")
        assert (await sites.round()).complete, "more than 30 were an alarm"
    assert sum(new for _, _, new, _ in sites.bergen.record.window) == 15


async def test_a_round_of_few_bytes_counts_nothing_and_many_of_them_are_counted_together(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    honest = changed.count

    async def counts(*arguments: object) -> changed.Changes:
        calls.append(arguments)
        return await honest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(changed, "count", counts)
    monkeypatch.setattr(changed, "RECORD_BYTES", 100_000)
    encrypted(sites, range(1))
    assert (await sites.round()).complete
    record = sites.bergen.record
    assert not calls and 0 < record.uncounted < 100_000 and record.counted != record.reached
    encrypted(sites, range(50))
    monkeypatch.setattr(changed, "RECORD_BYTES", 1)
    stopped = await sites.round()
    assert len(calls) == 1 and stopped.held_back == 50


async def test_what_came_when_nobody_could_note_it_is_counted(sites: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed behind the receive, before the record says how much came."""
    before = sites.bergen.record
    encrypted(sites, range(50))
    monkeypatch.setattr(changed, "RECORD_BYTES", 1_000_000)
    assert (await sites.round()).complete
    records.save("up", before, sites.bergen.store)
    stopped = await sites.round()
    assert stopped.blocked and stopped.held_back == 50


async def test_the_snapshot_that_was_counted_last_is_not_pruned(sites: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "RECORD_BYTES", 10**9)
    clean = dict(sites.bergen.record.counted)
    for number in range(14):
        (sites.oslo.seen / "a").write_text(str(number))
        assert (await sites.round()).complete
    guids = await sites.bergen.guids()
    assert clean[""] in guids and len(guids) < 14


def test_a_comparison_that_is_to_stop_stops(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a").write_text("a")
    stop = threading.Event()
    assert changed.compared(tmp_path / "old", tmp_path / "new", stop, 0).after == 1
    stop.set()
    assert changed.compared(tmp_path / "old", tmp_path / "new", stop, 0).after == 0


async def test_a_promotion_does_not_wait_until_all_is_counted(sites: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def long(_: Path, __: Path, stop: threading.Event, ___: int) -> changed.Changes:
        begun.set()
        assert stop.wait(60)
        return changed.Changes(0, 0, 0, 0)

    monkeypatch.setattr(changed, "compared", long)
    encrypted(sites, range(50))
    round_ = asyncio.ensure_future(sites.round())
    assert await asyncio.to_thread(begun.wait, 60)
    began = time.monotonic()
    await sites.bergen.engine(sites.oslo).promote()
    assert time.monotonic() - began < 10 and (sites.bergen.seen / "kid" / "file-001").exists()
    assert not (await round_).complete
    await look.sweep(sites.bergen.machine.host, sites.bergen.store)
    assert left(sites.bergen) == []
