"""What the journal of dirty paths promises, whatever happens in whatever order: no change is forgotten silently."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondsite.files.watch import journal as journals
from secondsite.files.watch.journal import Dirty, DirtyJournal

NAMES = [b"", b"a", b"a/b", b"line\nbreak", b"\xff\xfe", b"# ;", b"x" * 300]

act = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(NAMES), st.booleans(), st.sampled_from([0.0, 0.01, 0.5])),
    st.tuples(st.just("tell"), st.integers(1, 4)),
    st.tuples(st.just("lose the line")),
    st.tuples(st.just("acknowledge"), st.integers(0, 3)),
    st.tuples(st.just("take up")),
    st.tuples(st.just("renew")),
)


@dataclass
class World:
    """The source's files by version, and a follower that copies what it is told of, later than it was told."""

    file: Path
    journal: DirtyJournal
    now: float = 1000.0
    versions: dict[bytes, int] = field(default_factory=dict)
    changed_at: dict[bytes, list[float]] = field(default_factory=dict)  # of each version
    trees: dict[bytes, int] = field(default_factory=dict)  # the newest version that was of a whole tree
    copied: dict[bytes, int] = field(default_factory=dict)
    walked: dict[bytes, int] = field(default_factory=dict)
    told: list[tuple[Dirty, int]] = field(default_factory=list)  # not acknowledged yet, with the version it saw
    epoch: str = ""
    seq: int = 0

    def change(self, path: bytes, tree: bool, pause: float) -> None:
        self.now += pause
        self.versions[path] = self.versions.get(path, 0) + 1
        self.changed_at.setdefault(path, []).append(self.now)
        if tree:
            self.trees[path] = self.versions[path]
        self.journal.add(path, self.now, tree=tree)

    def tell(self, most: int) -> None:
        self.reconcile_where_the_epoch_is_new()
        found = self.journal.after(self.seq, most=most)
        assert [each.seq for each in found] == sorted({each.seq for each in found})
        assert all(each.seq > self.seq for each in found)
        self.told += [(each, self.versions[each.path]) for each in found]
        self.seq = max([self.seq, *(each.seq for each in found)])

    def acknowledge(self, count: int) -> None:
        for each, version in self.told[:count]:
            self.copied[each.path] = version
            if each.tree:
                self.walked[each.path] = version
        if self.told[:count]:
            self.journal.acknowledge(self.epoch, self.told[:count][-1][0].seq)
        del self.told[:count]

    def lose_the_line(self) -> None:
        """What was told and not applied is asked for again."""
        if self.told:
            self.seq = self.told[0][0].seq - 1
        self.told.clear()

    def reconcile_where_the_epoch_is_new(self) -> None:
        if self.journal.epoch != self.epoch:
            self.copied, self.walked = dict(self.versions), dict(self.trees)
            self.epoch, self.seq = self.journal.epoch, 0
            self.told.clear()

    def take_up(self) -> None:
        self.journal.close()
        self.journal = DirtyJournal(self.file)

    def check(self) -> None:
        """What the follower does not have is in the journal, since when it was changed, or the epoch is another."""
        if self.journal.epoch != self.epoch:
            return
        told = {each.path: each for each in self.journal.peek()}
        assert len(told) == self.journal.pending
        for path, version in self.versions.items():
            have = self.copied.get(path, 0)
            if have < version:
                assert path in told
                assert told[path].first_at <= self.changed_at[path][have]
            if self.walked.get(path, 0) < self.trees.get(path, 0):
                assert told[path].tree
        if self.journal.oldest_at is not None:
            assert self.journal.oldest_at == min(each.first_at for each in told.values())


@settings(max_examples=400)
@given(acts=st.lists(act, max_size=40))
def test_what_the_follower_does_not_have_is_told_or_the_epoch_is_new(acts: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "uploads.journal"
        world = World(file, DirtyJournal(file))
        world.reconcile_where_the_epoch_is_new()
        for name, *arguments in acts:
            if name == "renew":
                world.journal.renew("a test")
            else:
                getattr(world, str(name).replace(" ", "_"))(*arguments)
            world.check()


@settings(max_examples=150)
@given(
    changes=st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=12),
    acknowledged=st.integers(0, 12),
    cut=st.integers(0, 2000),
    spoilt=st.booleans(),
)
def test_a_file_with_a_torn_or_spoilt_end_is_never_believed_further_than_it_is_whole(
    changes: list[tuple[bytes, bool]], acknowledged: int, cut: int, spoilt: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "uploads.journal"
        journal = DirtyJournal(file)
        whole = {file.stat().st_size: (0, frozenset[bytes]())}  # length of the file: the newest number, what is dirty
        for number, (path, tree) in enumerate(changes):
            journal.add(path, 1000.0 + number, tree=tree)
            journal.flush()
            if number + 1 == acknowledged:
                journal.acknowledge(journal.epoch, journal.last)
                journal.flush()
            whole[file.stat().st_size] = (journal.last, frozenset(each.path for each in journal.peek()))
        journal.close()
        text = file.read_bytes()
        left = max(0, len(text) - cut)
        file.write_bytes(text[:left] if not spoilt or not left else text[: left - 1] + bytes([text[left - 1] ^ 1]))
        again = DirtyJournal(file)
        if again.epoch == journal.epoch:
            assert not spoilt
            last, dirty = whole[left] if left in whole else _nearest(whole, left)
            assert again.last <= last
            assert frozenset(each.path for each in again.peek()) >= dirty or again.last < last
            if again.last < journal.last:  # the follower may know more than this file: then it is told so
                again.acknowledge(again.epoch, journal.last)
                assert again.epoch != journal.epoch
        again.close()


def _nearest(whole: dict[int, tuple[int, frozenset[bytes]]], left: int) -> tuple[int, frozenset[bytes]]:
    return whole[min(size for size in whole if size >= left)]


def test_a_killed_process_has_lost_nothing_that_it_has_flushed(tmp_path: Path) -> None:
    file = tmp_path / "uploads.journal"
    program = (
        "import sys, time; from pathlib import Path; from secondsite.files.watch.journal import DirtyJournal\n"
        "journal = DirtyJournal(Path(sys.argv[1])); number = 0\n"
        "print(journal.epoch, flush=True)\n"
        "while True:\n"
        "    for _ in range(50):\n"
        "        journal.add(b'file-%d' % number, time.time()); number += 1\n"
        "    if number % 1000 == 0: journal.acknowledge(journal.epoch, journal.last - 300)\n"
        "    journal.flush(); print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        epoch = child.stdout.readline().strip()
        flushed = 0
        while flushed < 20_000:
            flushed = int(child.stdout.readline())
        child.kill()
        rest = child.stdout.read().split()
    flushed = max([flushed, *(int(each) for each in rest[:-1])])
    journal = DirtyJournal(file)
    assert journal.epoch == epoch
    assert journal.last >= flushed
    names = {each.path for each in journal.peek()}
    assert {b"file-%d" % number for number in range(flushed - 300, flushed)} <= names
    journal.close()


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    journal = DirtyJournal(tmp_path / "uploads.journal")
    for number in range(60_000):
        journal.add(b"a path that is written to all the time/%d" % (number % 7), number * 1.0)
        if number % 500 == 0:
            journal.after(0, most=10)
            journal.acknowledge(journal.epoch, journal.last)
            journal.flush()
    assert (tmp_path / "uploads.journal").stat().st_size < 3 * journals.COMPACT_BYTES
    journal.close()
    assert DirtyJournal(tmp_path / "uploads.journal").epoch == journal.epoch


def test_more_than_memory_should_hold_is_a_new_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST", 100)
    journal = DirtyJournal(tmp_path / "uploads.journal")
    epoch = journal.epoch
    for number in range(101):
        journal.add(b"%d" % number, 1.0)
    assert (journal.epoch != epoch, journal.pending) == (True, 0)
    assert "100" in str(journal.reason)
    journal.close()


def test_a_disk_without_room_costs_the_epoch_at_the_next_start_and_nothing_now() -> None:
    """/dev/full says ENOSPC to every write, as a full disk does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "uploads.journal"
        journal = DirtyJournal(file)
        epoch = journal.epoch
        file.with_name(f"{file.name}.new").symlink_to("/dev/full")
        journal.renew("a test")
        assert journal.epoch != epoch
        journal.add(b"a", 1.0)
        assert [each.path for each in journal.after(0, most=9)] == [b"a"]
        journal.close()
        file.with_name(f"{file.name}.new").unlink()
        again = DirtyJournal(file)
        assert again.epoch not in (epoch, journal.epoch)
        again.close()


async def test_who_waits_is_woken_by_what_is_flushed_and_by_a_new_epoch(tmp_path: Path) -> None:
    journal = DirtyJournal(tmp_path / "uploads.journal")
    waiting = asyncio.create_task(journal.changed(journal.last, journal.epoch))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    journal.add(b"a", 1.0)
    journal.flush()
    await asyncio.wait_for(waiting, 1)
    waiting = asyncio.create_task(journal.changed(journal.last, journal.epoch))
    await asyncio.sleep(0.01)
    journal.renew("a test")
    await asyncio.wait_for(waiting, 1)
    journal.close()
