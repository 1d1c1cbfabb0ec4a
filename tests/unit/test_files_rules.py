"""The deletion budget, rsync's words, and a set's state."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.errors import FinalError, RetryableError
from secondsite.files import engine, keeper, store, takeover
from secondsite.files.budget import Counted, Rule, limit, refusal
from secondsite.files.keeper import pause
from secondsite.files.observe import state_of
from secondsite.files.rsync import command, daemon, output
from secondsite.files.rsync.pull import PullResult
from secondsite.files.rsync.runner import run
from secondsite.files.state import FilesStatus
from secondsite.files.store import Record
from secondsite.spec import FileSet
from tests.unit.objectives_worlds import SPEC

UPLOADS = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})
STATS = """
Number of files: 1,204 (reg: 1,000, dir: 204)
Number of created files: 3 (reg: 3)
Number of deleted files: 2 (reg: 2)
Number of regular files transferred: 5
Total transferred file size: 12,345 bytes
Deletions stopped due to --max-delete limit (7 skipped)
"""


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_the_budget_is_a_share_and_never_more_than_there_is_to_lose(before: int, share: float) -> None:
    most = limit(before, share)
    assert most >= (1 if share > 0 else 0)
    assert most <= max(1, before)


@given(st.integers(0, 1), st.integers(1, 1000), st.integers(0, 1000))
def test_an_empty_source_never_empties_a_copy(source: int, extra: int, most: int) -> None:
    assert refusal(Counted(source, 0, extra), most=most) is not None


def test_what_is_new_at_the_source_does_not_widen_the_budget() -> None:
    assert Counted(source=101, created=50, extra=20).before == 71
    assert refusal(Counted(101, 50, 20), most=limit(71, 0.2)) is not None
    assert refusal(Counted(101, 50, 0), most=0) is None


UNREAD = """IO error encountered -- skipping file deletion
file has vanished: "/went" (in uploads)
rsync: [sender] readlink_stat("/moved" (in uploads)) failed: Not a directory (20)
rsync: [sender] readdir("/bad" (in uploads)): Bad message (74)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1874) [generator=3.2.7]
"""


def test_what_the_source_cannot_read_is_told_by_its_name_and_not_by_what_follows_from_it() -> None:
    bad = 'rsync: [sender] readdir("/bad" (in uploads)): Bad message (74)'
    assert output.unread(UNREAD) == bad
    assert output.why(UNREAD.replace("Not a directory (20)", "Bad message (74)")).startswith("rsync: [sender] readlink")
    assert output.why("IO error encountered -- skipping file deletion\n" + bad) == bad


def test_what_went_away_meanwhile_is_not_what_the_source_cannot_read_and_neither_is_trouble_of_the_copy() -> None:
    assert output.unread("\n".join(row for row in UNREAD.splitlines() if "/bad" not in row)) is None
    full = 'rsync: [receiver] write failed on "/srv/uploads/x": No space left on device (28)'
    assert output.unread(UNREAD + full) is None


@pytest.mark.parametrize(
    "row",
    [
        "get_acl: sys_acl_get_file(a/ b , ACL_TYPE_ACCESS): No such file or directory (2)",
        'link_stat "/a" (in uploads) failed: No such file or directory (2)',
        'send_files failed to open "/a/b" (in uploads): Not a directory (20)',
        'send_files failed to open "/a" (in uploads): Too many levels of symbolic links (40)',
    ],
)
def test_what_was_elsewhere_when_it_was_read_needs_another_pass_unless_something_else_failed_too(row: str) -> None:
    moved = f"IO error encountered -- skipping file deletion\nrsync: [sender] {row}\nrsync error: some (code 23)\n"
    assert output.only_moved(moved)
    for other in (
        'rsync: [sender] readdir("/bad" (in uploads)): Bad message (74)',
        'rsync: [receiver] write failed on "/srv/x": No space left on device (28)',
        "rsync: [generator] get_acl: sys_acl_get_file(a, ACL_TYPE_ACCESS): No such file or directory (2)",
        "ERROR: a failed verification -- update put into partial-dir.",
        "cannot send long-named file /a (in uploads)",
        "@ERROR: chroot failed",
    ):
        assert not output.only_moved(f"{moved}{other}\n")
    assert not output.only_moved("IO error encountered -- skipping file deletion\n")


def test_a_record_of_an_earlier_version_keeps_what_happened_within_the_hour(tmp_path: Path) -> None:
    (tmp_path / "uploads.json").write_text('{"role": "pulled", "window": [[7, 5, 3]]}')
    assert store.load("uploads", tmp_path).window == ((7, 5, 3, 0),)


def test_statistics_are_read_with_and_without_separators() -> None:
    assert output.stats(STATS) == output.Stats(1204, 3, 2, 5, 12345, 7)
    assert output.stats(STATS.replace(",", "")) == output.stats(STATS)
    assert output.stats("") == output.Stats()
    lies = "Number of files: 9,999,999\nNumber of created files: 0\nNumber of deleted files: 0\n"
    assert output.stats(lies + STATS) == output.stats(STATS), "what a daemon has it print before counts for nothing"
    assert output.stats(STATS, lies) == output.stats(STATS), "and what it sends as errors neither"
    fewer = "Deletions stopped due to --max-delete limit (0 skipped)"
    assert output.stats(f"{fewer}\n{STATS}", fewer).skipped == 7, "nobody makes them fewer"


def test_progress_is_read_from_the_last_of_many() -> None:
    line = "      1,000  10%  1.00MB/s    0:00:09 (xfr#1, to-chk=3/5)\r      5000  50%    2.00kB/s    0:01:05"
    assert output.progress(line) == (5000, 10000, 2048.0, 65)
    assert output.progress("nothing") is None


def test_the_most_telling_line_is_told() -> None:
    text = "receiving file list\nrsync: [Receiver] failed to connect: Connection refused (111)\nrsync error: code 10"
    assert output.why(text) == "rsync: [Receiver] failed to connect: Connection refused (111)"
    assert output.why("") == "it said nothing"


def test_a_pull_deletes_nothing_unless_told_and_never_follows_links() -> None:
    argv = command.pull("rsync://10.10.0.1:7434/uploads/", Path("/srv/uploads"))
    assert "--max-delete=0" in argv
    assert "--modify-window=-1" in argv
    assert "--no-inc-recursive" in argv
    assert not {"--keep-dirlinks", "--copy-links", "--inplace", "--delay-updates", "--ignore-errors"} & set(argv)
    assert argv[-2:] == ["rsync://10.10.0.1:7434/uploads/", "/srv/uploads/"]


def test_the_daemon_offers_reading_to_the_peer_alone() -> None:
    text = daemon.configuration(
        [UPLOADS], {"uploads": "/srv"}, own_address="10.10.0.1", peer_address="10.10.0.2", port=7434
    )
    rows = text.splitlines()
    for row in ("read only = yes", "list = no", "use chroot = yes", "hosts allow = 10.10.0.2", "hosts deny = *"):
        assert row in rows
    assert rows.index("address = 10.10.0.1") < rows.index("[uploads]")


@pytest.mark.parametrize(
    ("record", "standby", "status"),
    [
        (Record(), False, FilesStatus.SOURCE),
        (Record(), True, FilesStatus.UNKNOWN),
        (Record(role="pulled", complete_at=97.0, confirmed_at=97.0, outcome="complete"), True, FilesStatus.CURRENT),
        (
            Record(role="pulled", complete_at=97.0, confirmed_at=97.0, outcome="failed", reason="x"),
            True,
            FilesStatus.CURRENT,
        ),
        (Record(role="pulled", complete_at=90.0, confirmed_at=90.0, outcome="complete"), True, FilesStatus.STALE),
        (
            Record(role="pulled", complete_at=90.0, confirmed_at=90.0, outcome="failed", reason="x"),
            True,
            FilesStatus.FAILED,
        ),
        (
            Record(role="pulled", complete_at=99.0, confirmed_at=99.0, outcome="blocked", reason="x"),
            True,
            FilesStatus.BLOCKED,
        ),
        (Record(role="source", complete_at=99.0), True, FilesStatus.BLOCKED),
    ],
)
def test_silence_is_never_taken_for_health(record: Record, standby: bool, status: FilesStatus) -> None:
    state = state_of(UPLOADS, record, now=100.0, standby=standby)
    assert state.status is status
    assert state.reason is not None or status in (FilesStatus.SOURCE, FilesStatus.CURRENT)


@pytest.mark.parametrize("skew", [-3600.0, 3600.0, 1e11])
@pytest.mark.parametrize(
    ("confirmed_at", "outcome", "status"),
    [
        (97.0, "complete", FilesStatus.CURRENT),
        (97.0, "failed", FilesStatus.CURRENT),
        (90.0, "complete", FilesStatus.STALE),
        (90.0, "failed", FilesStatus.FAILED),
        (200.0, "complete", FilesStatus.STALE),  # the clock here was set back
        (200.0, "failed", FilesStatus.FAILED),
        (None, "failed", FilesStatus.FAILED),
    ],
)
def test_silence_is_no_health_whatever_the_clock_of_the_source_says(
    skew: float, confirmed_at: float | None, outcome: str, status: FilesStatus
) -> None:
    record = Record(
        role="pulled", complete_at=97.0 + skew, confirmed_at=confirmed_at, outcome=outcome, reason="no answer"
    )
    assert state_of(UPLOADS, record, now=100.0, standby=True).status is status


def test_the_record_of_an_older_version_is_judged_by_its_last_attempt() -> None:
    record = Record(role="pulled", complete_at=3700.0, last_attempt_at=97.0, outcome="complete")
    assert state_of(UPLOADS, record, now=100.0, standby=True).status is FilesStatus.CURRENT
    assert state_of(UPLOADS, record, now=110.0, standby=True).status is FilesStatus.STALE


def test_a_slow_pull_is_no_stale_one() -> None:
    record = Record(role="pulled", complete_at=0.0, confirmed_at=0.0, seconds=40.0, outcome="complete")
    assert state_of(UPLOADS, record, now=100.0, standby=True).status is FilesStatus.CURRENT


@given(st.floats(0.1, 100), st.floats(0, 1000), st.integers(0, 50))
def test_pulls_rest_as_long_as_they_work_and_never_stop_trying(interval: float, took: float, failures: int) -> None:
    rest = pause(interval, took, failures)
    assert 0 <= rest <= max(interval, took, 10)
    assert failures > 1 or took + rest >= interval - 1e-9


def test_a_record_survives_and_a_torn_one_says_nothing(tmp_path: Path) -> None:
    record = replace(Record(), role="pulled", complete_at=1.5, entries=3, mount="/srv")
    store.save("uploads", record, tmp_path)
    assert store.load("uploads", tmp_path) == record
    (tmp_path / "uploads.json").write_text('{"role": "pul')
    assert store.load("uploads", tmp_path) == Record()
    assert store.load("never", tmp_path) == Record()


def test_a_record_that_was_just_replaced_is_read_anew_and_one_that_stayed_is_not(tmp_path: Path) -> None:
    for entries in range(300):  # each of the same length, many within one tick of the file system's clock
        store.save("uploads", Record(entries=1000 + entries), tmp_path)
        assert store.load("uploads", tmp_path).entries == 1000 + entries
    place = tmp_path / "uploads.json"
    os.utime(place, ns=(0, 0))
    known = store.load("uploads", tmp_path)
    assert store.load("uploads", tmp_path) is known
    place.unlink()
    assert store.load("uploads", tmp_path) == Record()


async def test_what_ends_a_pull_before_its_record_can_tell_reaches_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rsync on the host: nothing is ever written down, and status said that the set was never pulled."""
    spec, answers = (
        SPEC.model_copy(update={"files": (UPLOADS,)}),
        iter([FinalError("there is no rsync"), OSError(28, "full")]),
    )

    async def pull(*_: object, **__: object) -> PullResult:
        problem = next(answers, None)
        if problem is not None:
            raise problem
        return PullResult(0, 0, 0, 0.1, 1.0, False, "refused")

    monkeypatch.setattr(keeper, "pull", pull)
    kept = keeper.Keeper(spec, "bergen", store=tmp_path)
    kept._standby = True
    for told in ("there is no rsync", "full", "never pulled"):
        assert not await kept._pull(UPLOADS, None)
        (state,) = kept.states()
        assert told in (state.reason or "")
        assert (state.status is FilesStatus.FAILED) == (told != "never pulled")


def test_a_problem_never_hides_what_is_known_to_be_well() -> None:
    record = Record(role="pulled", complete_at=97.0, confirmed_at=97.0, outcome="complete")
    state = state_of(UPLOADS, record, now=100.0, standby=True, problem="busy")
    assert state.status is FilesStatus.CURRENT


def test_what_a_site_pulled_before_it_became_the_original_is_no_lag() -> None:
    """It would be shown as the lag of the next standby: "174 s behind", right after a way home."""
    record = Record(role="source", complete_at=10.0)
    assert [state_of(UPLOADS, record, now=184.0, standby=standby).complete_at for standby in (True, False)] == [
        None
    ] * 2
    stopped = Record(role="pulled", complete_at=10.0, outcome="complete")
    assert state_of(UPLOADS, stopped, now=184.0, standby=False).complete_at == 10.0


async def test_a_person_allows_only_what_the_budget_has_stopped(tmp_path: Path) -> None:
    for record in (Record(), Record(outcome="blocked", reason="/srv is not mounted"), Record(outcome="complete")):
        store.save("uploads", record, tmp_path)
        with pytest.raises(FinalError) as caught:
            await engine.allow_deletions(UPLOADS, tmp_path)
        assert caught.value.slug == "nothing-held-back"
        assert not store.load("uploads", tmp_path).allow_deletions
    store.save("uploads", Record(role="pulled", outcome="blocked", held_back=40), tmp_path)
    assert await engine.allow_deletions(UPLOADS, tmp_path) == 40
    assert store.load("uploads", tmp_path).allow_deletions


async def test_a_person_waits_for_a_pull_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write the record that it has read back, and the word would be lost."""
    monkeypatch.setattr(engine, "LOCK_SECONDS", 0.1)
    store.save("uploads", Record(outcome="blocked", held_back=40), tmp_path)
    async with store.locked("uploads", seconds=1, store=tmp_path):
        with pytest.raises(RetryableError):
            await engine.allow_deletions(UPLOADS, tmp_path)


async def test_a_pass_that_begins_while_a_failover_waits_for_the_set_is_ended_too(tmp_path: Path) -> None:
    """As when the failover looks between two passes of one pull: it would wait for all of the next one."""
    rsync = tmp_path / "rsync"
    rsync.symlink_to(shutil.which("sleep") or "/bin/sleep")
    store.save("uploads", Record(role="pulled"), tmp_path)
    async with store.locked("uploads", seconds=1, store=tmp_path) as held:
        promotion = asyncio.create_task(engine.promote(UPLOADS, tmp_path))
        await asyncio.sleep(0.05)
        assert not promotion.done()
        ended = await run([str(rsync), "30"], seconds=20, held=held)
        assert ended.code == -signal.SIGKILL
    await promotion
    assert store.load("uploads", tmp_path).role == "source"


async def test_a_pull_that_only_waits_for_the_disk_does_not_stop_a_failover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "ENDED_SECONDS", 0.1)
    store.save("uploads", Record(role="pulled"), tmp_path)
    async with store.locked("uploads", seconds=1, store=tmp_path):
        await engine.promote(UPLOADS, tmp_path)
    assert store.load("uploads", tmp_path).role == "source"


@pytest.mark.parametrize(
    ("name", "state", "own", "shared", "going"),
    [
        ("rsync", "S (sleeping)", 0, 0, True),
        ("rsync", "D (disk sleep)", 0, 0, True),
        ("rsync", "D (disk sleep)", 0x100, 0x100, False),
        ("rsync", "D (disk sleep)", 0, 0x100, False),
        ("rsync", "D (disk sleep)", 0, 0x4000, True),  # SIGTERM: rsync may still tidy up
        ("rsync", "Z (zombie)", 0, 0, False),
        ("sleep", "S (sleeping)", 0, 0, False),
    ],
)
def test_an_rsync_that_was_killed_while_it_waits_for_a_disk_counts_as_ended(
    name: str, state: str, own: int, shared: int, going: bool
) -> None:
    text = f"Name:\t{name}\nState:\t{state}\nSigQ:\t0/1\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\n"
    assert store.writes(text) is going


async def test_a_word_does_not_outlive_a_change_of_roles(tmp_path: Path) -> None:
    store.save("uploads", Record(role="source", outcome="blocked", held_back=40, allow_deletions=True), tmp_path)
    await engine.demote(UPLOADS, tmp_path)
    assert store.load("uploads", tmp_path) == Record(role="pulled")


def test_a_state_says_how_much_of_the_rules_is_used_up() -> None:
    record = Record(role="pulled", settled=True, entries=1000, window=((1, 30, 7, 1030),), complete_at=97.0)
    state = state_of(UPLOADS, record, now=100.0, standby=True)
    assert (state.entries, state.deletions, state.changes) == (1000, Rule(30, 206), Rule(37, 515))
    by_zfs = state_of(UPLOADS, replace(record, engine="zfs"), now=100.0, standby=True)
    assert by_zfs.deletions is None and by_zfs.changes == Rule(37, 515), "what is deleted is in the snapshots"
    anything = UPLOADS.model_copy(update={"max_delete": 1.0, "max_change": 1.0})
    assert state_of(anything, record, now=100.0, standby=True).deletions is None
    assert state_of(UPLOADS, record, now=100.0, standby=False).entries is None, "a source is no copy"
