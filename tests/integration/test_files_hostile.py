"""A source in an enemy's hands speaks the protocol: nothing outside the set is touched, and nothing has no end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from secondsite.errors import FinalError, SecondsiteError
from secondsite.files import store as records
from secondsite.files.rsync import confine
from secondsite.files.store import PULLED, Record
from secondsite.files.stream import wire
from secondsite.files.stream.apply import Applying
from secondsite.files.stream.beneath import Root
from secondsite.files.stream.entry import Attributes, Entry, Kind
from secondsite.files.stream.exclude import Excludes
from secondsite.files.stream.follow import Follower
from secondsite.files.stream.take import End
from secondsite.files.stream.weigh import Weighing
from secondsite.spec import FileSet

pytestmark = pytest.mark.needs_root
PLAIN = Attributes(0o644, 0, 0, 10**18)


@dataclass(slots=True)
class Victim:
    """A standby whose source says whatever a test wants."""

    folder: Path
    store: Path
    say: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None

    async def follow(self, *frames: bytes, **settings: Any) -> End | SecondsiteError:
        """What became of it when the source said these."""
        own, theirs = socket.socketpair()
        own.setblocking(False)

        async def call(request: Mapping[str, Any]) -> socket.socket:
            return own

        valid = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"} | settings)
        fileset = valid.model_copy(update={"path": PurePosixPath(self.folder)})
        follower = Follower(fileset, "127.0.0.1", 1, call, store=self.store)
        async with self._source(theirs, frames):
            try:
                return await follower.follow()
            except SecondsiteError as refused:
                return refused

    @contextlib.asynccontextmanager
    async def _source(self, line: socket.socket, frames: tuple[bytes, ...]) -> AsyncIterator[None]:
        reader, writer = await asyncio.open_connection(sock=line)

        async def talk() -> None:
            with contextlib.suppress(OSError):
                writer.write(wire.words(wire.HELLO, epoch="e", seq=0, as_of=1.0, now=1.0, reconcile=False))
                for one in frames:
                    writer.write(one)
                    await writer.drain()
                if self.say is not None:
                    await self.say(reader, writer)
                await asyncio.sleep(0.2)
                writer.close()

        talking = asyncio.ensure_future(talk())
        try:
            yield
        finally:
            talking.cancel()
            writer.close()


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    folder, store = tmp_path / "set", tmp_path / "state" / "files"
    folder.mkdir()
    store.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    for number in range(20):
        (folder / f"file-{number}").write_text("here")
    record = Record(role=PULLED, settled=True, outcome="complete", epoch="e", entries=21, complete_at=1.0)
    records.save("uploads", record, store)
    return Victim(folder, store)


def entry(**head: Any) -> bytes:
    """An entry that no honest source would encode."""
    content = head.pop("content", b"")
    body = {"path": "x", "kind": "file", "at": [0o644, 0, 0, 10**18, []], "size": len(content), "sparse": False}
    body |= {"parts": [[0, len(content)]] if content else []} | head
    written = json.dumps(body).encode()
    return wire.frame(wire.ENTRY, struct.pack(">I", len(written)) + written + content)


def commit(entries: int, batch: int = 1, **more: Any) -> bytes:
    told = {"seq": 1, "as_of": 2.0, "now": 2.0, "pending": 0, "waiting": [], "batch": batch, "entries": entries}
    return wire.words(wire.COMMIT, **told | more)


def untouched(victim: Victim) -> bool:
    outside = victim.folder.parent / "outside"
    names = sorted(path.name for path in victim.folder.parent.iterdir())
    kept = [path.name for path in outside.iterdir()] == ["precious"]
    return kept and (outside / "precious").read_text() == "precious" and names == ["outside", "set", "state"]


BAD: list[dict[str, Any]] = [
    {"path": "../escaped"}, {"path": "/etc/escaped"}, {"path": "a/../../escaped"}, {"path": ".."}, {"path": "."},
    {"path": "a//b"}, {"path": "a/"}, {"path": "nul\0"}, {"path": "n" * 256}, {"path": "/".join(["n" * 200] * 30)},
    {"path": ""}, {"path": "\ud800"}, {"path": 7}, {"path": None},
    {"kind": "device"}, {"kind": "fifo"}, {"kind": None}, {"kind": "gone", "path": ""},
    {"size": -1}, {"size": 1 << 63}, {"size": "7"}, {"parts": [[0, 5]], "size": 3},
    {"parts": [[5, 1], [0, 1]], "size": 9},
    {"parts": [[0, 1 << 40]], "size": 1 << 41}, {"parts": [[0, 0]] * 5000}, {"content": b"more", "parts": [[0, 1]]},
    {"at": [0o100644, 0, 0, 0, []]}, {"at": [0o644, -1, 0, 0, []]}, {"at": [0o644, 1 << 32, 0, 0, []]},
    {"at": [0o644, 0xFFFFFFFF, 0, 0, []]}, {"at": [0o644, 0, 0, 1 << 80, []]}, {"at": [True, 0, 0, 0, []]},
    {"at": [0o644, 0, 0, 0, [["security.capability", "x"]]]}, {"at": [0o644, 0, 0, 0, [["system.nfs4_acl", "x"]]]},
    {"at": [0o644, 0, 0, 0, [["user.x", "y"]] * 5000]}, {"at": None},
    {"links": ["../escaped", "x"]}, {"links": ["y"]}, {"links": ["x", ""]}, {"links": ["x"] * 20_000},
    {"kind": "link", "target": ""}, {"kind": "link", "target": "a\0b"}, {"kind": "link", "target": "t" * 5000},
    {"kind": "names", "path": "", "names": ["../x"], "low": "", "high": None},
    {"kind": "names", "path": "", "names": ["b", "a"], "low": "", "high": None},
    {"kind": "names", "path": "..", "names": [], "low": "", "high": None},
]  # fmt: skip


@pytest.mark.parametrize("head", BAD, ids=lambda head: str(head)[:40])
async def test_an_entry_that_cannot_be_ends_the_connection_and_changes_nothing(
    victim: Victim, head: dict[str, Any]
) -> None:
    before = sorted(path.name for path in victim.folder.iterdir())
    ended = await victim.follow(entry(path="good"), entry(**head), commit(2))
    assert isinstance(ended, FinalError) and ended.slug == "files-stream-broken", ended
    assert sorted(path.name for path in victim.folder.iterdir()) == before
    assert untouched(victim)
    assert records.load("uploads", victim.store).seq == 0


@pytest.mark.parametrize(
    "frames",
    [
        (wire.words(wire.COMMIT),),
        (commit(1),),
        (commit(0, batch=2),),
        (commit(0, as_of=float("1e300")),),
        (commit(0, seq=-1),),
        (commit(0, waiting="x"),),
        (struct.pack(">cI", b"E", 0xFFFFFFFF),),
        (struct.pack(">cI", b"I", 1 << 20),),
        (wire.frame(b"?", b"{}"),),
        (wire.frame(wire.IDLE, b"[" * 60_000),),
        (wire.frame(wire.ENTRY, b""),),
        (wire.frame(wire.ENTRY, struct.pack(">I", 1 << 31) + b"{}"), commit(1)),
        (entry(path="good"), wire.words(wire.IDLE, seq=1, as_of=1.0, now=1.0, pending=0, waiting=[])),
    ],
    ids=range(13),
)
async def test_what_is_no_word_of_the_protocol_ends_the_connection(victim: Victim, frames: tuple[bytes, ...]) -> None:
    ended = await victim.follow(*frames)
    assert isinstance(ended, SecondsiteError) and ended.slug in ("files-stream-broken", "files-stream-lost"), ended
    assert untouched(victim)


async def test_a_batch_without_an_end_is_not_collected_for_ever(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "BATCH_ENTRIES", 500)
    said = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        for _ in range(100_000):  # a source that never says that it is done
            writer.write(entry(path=f"flood-{said}"))
            said += 1
            await writer.drain()

    victim.say = flood
    ended = await victim.follow()
    assert isinstance(ended, FinalError) and "without an end" in ended.message
    assert said < 50_000 and not list(victim.folder.glob("flood-*"))


async def test_a_source_that_refuses_is_told_in_its_own_words_and_no_more(victim: Victim) -> None:
    refusal = wire.words(wire.REFUSED, error="source-not-mounted", message="not\x1b[31m mounted" + "x" * 9000)
    ended = await victim.follow(refusal)
    assert isinstance(ended, FinalError) and ended.slug == "source-not-mounted"
    assert "\x1b" not in ended.message and len(ended.message) < 600
    odd = await victim.follow(wire.words(wire.REFUSED, error="made-up", message="x"))
    assert isinstance(odd, FinalError) and odd.slug == "files-stream-broken"


def test_a_link_in_the_middle_of_a_path_leads_nowhere(victim: Victim) -> None:
    """Whether it was told by the source, in the same batch or before, or stands here by itself."""
    outside = victim.folder.parent / "outside"
    (victim.folder / "here").symlink_to(outside)
    batch = [
        Entry(b"way", Kind.LINK, PLAIN, target=os.fsencode(outside)),
        Entry(b"way/planted", Kind.FILE, PLAIN, parts=()),
        Entry(b"here/planted", Kind.FILE, PLAIN, parts=()),
        Entry(b"here/precious", Kind.GONE),
        Entry(b"way/precious", Kind.GONE),
        Entry(b"here", Kind.NAMES),
        Entry(b"file-1", Kind.FILE, PLAIN, parts=(), links=(b"file-1", b"here/linked")),
        Entry(b"here/folder", Kind.FOLDER, Attributes(0o777, 0, 0, 0)),
    ]
    mode = outside.stat().st_mode
    with Root(str(victim.folder)) as root:
        applying = Applying(Weighing(root, batch, Excludes(())))
        assert Weighing(root, batch, Excludes(())).cost().gone == ()
        applied = applying.carry_out()
        applying.finish()
    assert untouched(victim) and outside.stat().st_mode == mode
    assert set(applied.amiss) >= {b"way/planted", b"here/planted", b"here/folder"}


def test_a_folder_that_becomes_a_link_takes_nothing_along_that_it_points_to(victim: Victim) -> None:
    """lsyncd deleted in the link's target (its issue 290)."""
    outside = victim.folder.parent / "outside"
    (victim.folder / "d").mkdir()
    (victim.folder / "d" / "precious").write_text("a copy")
    batch = [
        Entry(b"d", Kind.LINK, PLAIN, target=os.fsencode(outside)),
        Entry(b"d/precious", Kind.GONE),
        Entry(b"d", Kind.NAMES),
    ]
    with Root(str(victim.folder)) as root:
        applying = Applying(Weighing(root, batch, Excludes(())))
        applying.carry_out()
        applying.finish()
    assert (victim.folder / "d").is_symlink() and untouched(victim)


def test_rights_are_not_brought_even_where_the_source_says_them(victim: Victim) -> None:
    batch = [
        Entry(b"root", Kind.FILE, Attributes(0o6755, 0, 0, 0), parts=(), size=0),
        Entry(b"shared", Kind.FOLDER, Attributes(0o2775, 0, 0, 0)),
    ]
    with Root(str(victim.folder)) as root:
        applying = Applying(Weighing(root, batch, Excludes(())))
        applying.carry_out()
        applying.finish()
    assert stat.S_IMODE((victim.folder / "root").stat().st_mode) == 0o755
    assert stat.S_IMODE((victim.folder / "shared").stat().st_mode) == 0o2775


async def test_a_size_that_no_disk_has_is_no_disaster(victim: Victim) -> None:
    ended = await victim.follow(entry(path="huge", size=(1 << 63) - 1, sparse=True), commit(1))
    assert ended is End.COMPARE
    assert not (victim.folder / "huge").exists() and "huge" in str(records.load("uploads", victim.store).reason)
    assert not [path for path in victim.folder.iterdir() if path.name.startswith(".")]


async def test_everything_gone_at_once_is_stopped_before_anything_is_deleted(victim: Victim) -> None:
    batch = [entry(path=f"file-{number}", kind="gone") for number in range(20)]
    assert await victim.follow(*batch, commit(20)) is End.COMPARE
    assert len(list(victim.folder.iterdir())) == 20
    record = records.load("uploads", victim.store)
    assert (record.epoch, record.seq) == (None, 0) and "20 of 21" in str(record.reason)


async def test_a_batch_that_the_source_lets_end_half_way_counts_with_what_it_has_done(victim: Victim) -> None:
    """Else it could rewrite file after file, and never come to the end of a batch that is counted."""
    rewritten = [entry(path=f"file-{number}", content=b"encrypted") for number in range(5)]
    large = entry(path="large", size=1 << 30, parts=None)  # to be fetched from a daemon that does not answer
    gone = [entry(path=f"file-{number}", kind="gone") for number in (10, 11)]
    for turn in range(2):
        ended = await victim.follow(*rewritten, large, *gone, commit(8))
        assert isinstance(ended, SecondsiteError) and ended.slug == "files-unreachable", ended
        ((_, deleted, changed, _),) = records.load("uploads", victim.store).window
        assert (deleted, changed) == (2, 5), f"turn {turn}: what was done before does not count again"
        assert (victim.folder / "file-0").read_text() == "encrypted" and not (victim.folder / "file-10").exists()
        (victim.store / "uploads.unfinished").unlink()  # as a pull does, which finds nothing to do


async def test_the_last_that_a_set_has_goes_only_when_a_full_comparison_says_so(victim: Victim) -> None:
    batch = [entry(path=f"file-{number}", kind="gone") for number in range(20)]
    assert await victim.follow(*batch, commit(20), max_delete="100%") is End.COMPARE
    assert len(list(victim.folder.iterdir())) == 20
    assert records.load("uploads", victim.store).epoch is None


@pytest.mark.parametrize(
    "head",
    [
        {"kind": "names", "path": "", "names": [], "low": "", "high": None},
        {"kind": "names", "path": "", "names": ["file-0"], "low": "", "high": None},
    ],
)
async def test_names_that_are_left_out_are_deletions_too(victim: Victim, head: dict[str, Any]) -> None:
    assert await victim.follow(entry(**head), commit(1)) is End.COMPARE
    assert len(list(victim.folder.iterdir())) == 20


async def test_a_folder_told_to_be_a_file_is_a_deletion_of_all_that_is_in_it(victim: Victim) -> None:
    (victim.folder / "folder").mkdir()
    for number in range(20):
        (victim.folder / "folder" / f"{number}").write_text("x")
    assert await victim.follow(entry(path="folder"), commit(1)) is End.COMPARE
    assert len(list((victim.folder / "folder").iterdir())) == 20


def test_an_rsync_can_write_nowhere_but_in_the_set(tmp_path: Path) -> None:
    """Whatever a fault in it lets the other site do: here a shell stands in its place."""
    if not confine.version():
        pytest.skip("this kernel has no Landlock")
    allowed, forbidden = tmp_path / "allowed", tmp_path / "forbidden"
    for folder in (allowed, forbidden):
        (folder / "sub").mkdir(parents=True)
        (folder / "old").write_text("old")
    acts = ["echo x > $1/new", "echo x >> $1/old", "mkdir $1/folder", "ln -s x $1/link", "mv $1/old $1/sub/moved"]
    also = ["rm -f $1/new; test ! -e $1/new", "truncate -s 0 $1/sub/moved", "rmdir $1/folder"]
    never = ["mkfifo $1/fifo", "mknod $1/device c 1 3", "mv $1/link $2/link", "ln $1/sub/moved $2/hard"]

    def tried(act: str, folder: Path, other: Path) -> int:
        given = ["sh", "-c", f"( {act} ) 2>/dev/null", "sh", str(folder), str(other)]
        return confine.start(given, [allowed]).wait(timeout=10)

    assert [tried(act, allowed, forbidden) for act in (*acts, *also)] == [0] * 8
    before = sorted(path.name for path in forbidden.rglob("*"))
    assert all(tried(act, forbidden, allowed) != 0 for act in (*acts, *also[1:], *never))
    assert all(tried(act, allowed, forbidden) != 0 for act in never)
    assert sorted(path.name for path in forbidden.rglob("*")) == before
    assert (forbidden / "old").read_text() == "old"
    status = confine.start(["cat", "/proc/self/status"], [allowed], stdout=subprocess.PIPE).communicate(timeout=10)[0]
    assert b"NoNewPrivs:\t1" in status
    (tmp_path / "own").write_text("this process itself is as free as before")
