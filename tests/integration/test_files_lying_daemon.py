"""An rsync daemon in an enemy's hands: what it says in its texts and in its list costs the standby neither what it has,
nor its memory, nor its time. What an honest rsync sends is in test_files_pull.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from secondsite.files.rsync import passes, runner
from tests.integration.file_daemon import ADDRESS, Mirror, mirror

Lie = Callable[[asyncio.StreamWriter], Awaitable[None]]
DATA, INFO, ERROR, WARNING = 7, 9, 10, 11  # kinds of frames (rsync's io.h, MSG_*, with MPLEX_BASE added)
STATISTICS = (b"Number of files: 1,000,000 (reg: 1,000,000)\n", b"Number of created files: 0\n")


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Mirror]:
    with mirror(tmp_path) as ready:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "precious").write_text("precious")
        for number in range(20):
            (ready.source / f"file-{number}").write_text(f"content {number}")
        ready.seconds = 10
        yield ready


def frame(kind: int, body: bytes) -> bytes:
    return struct.pack("<I", kind << 24 | len(body)) + body


def untouched(uploads: Mirror) -> bool:
    base = uploads.store.parent.parent
    return [(path.name, path.read_text()) for path in (base / "outside").iterdir()] == [("precious", "precious")]


async def settled(uploads: Mirror) -> None:
    assert (await uploads.pull()).complete
    assert len(list(uploads.target.iterdir())) == 20


# --- an honest daemon, and somebody between who adds words of his own ------------------------------------------------


@asynccontextmanager
async def interrupted(uploads: Mirror, lie: bytes) -> AsyncIterator[None]:
    """What the daemon says is followed by ``lie`` as soon as it speaks in frames, and once more behind its list."""
    honest = uploads.port

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, up = await asyncio.open_connection(ADDRESS, honest)
        sending = asyncio.ensure_future(pump(reader, up))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(await above.readuntil(b"\n"))
            writer.write(await above.readuntil(b"@RSYNCD: OK\n"))
            await before_frames(above, writer)
            writer.write(lie)
            for number in range(1_000_000):
                head = await above.readexactly(4)
                writer.write(head + await above.readexactly(struct.unpack("<I", head)[0] & 0xFFFFFF))
                if number < 50:
                    writer.write(lie)
                await writer.drain()
        sending.cancel()
        for each in (up, writer):
            each.close()

    async with await asyncio.start_server(guest, ADDRESS, 0) as server:
        uploads.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            uploads.port = honest


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


async def before_frames(above: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What both agree upon (compat.c, setup_protocol): flags, the checksums where they choose them, the seed."""

    async def passed(size: int) -> bytes:
        told = await above.readexactly(size)
        writer.write(told)
        return told

    flags = (await passed(1))[0]
    if flags & 0x80:
        flags = (flags & 0x3F) << 8 | (await passed(1))[0]
    if flags & 0x80:
        size = (await passed(1))[0]
        assert size < 0x80
        await passed(size)
    await passed(4)


@pytest.mark.parametrize("kind", [INFO, WARNING, ERROR])
async def test_statistics_that_the_source_makes_up_move_no_budget(uploads: Mirror, kind: int) -> None:
    await settled(uploads)
    for number in range(10):
        (uploads.source / f"file-{number}").unlink()
    lines = [*STATISTICS, b"Deletions stopped due to --max-delete limit (0 skipped)\n"]
    async with interrupted(uploads, b"".join(frame(kind, line) for line in lines)):
        result = await uploads.pull()
    assert (result.complete, result.blocked, result.held_back) == (False, True, 10), result
    assert len(list(uploads.target.iterdir())) == 20


async def test_texts_that_claim_what_is_not_so_cost_no_file(uploads: Mirror) -> None:
    """Of rewrites, of deletions, of FIFOs: what they name is looked at, and counts against the budget."""
    await settled(uploads)
    names = [*(b"file-%d" % number for number in range(20)), b"../../outside/precious", b"/etc/passwd"]
    names += [b"\n".join(names), b"nul\\#000", b"", b".", b"n" * 4000]
    claims = b"".join(frame(INFO, b'skipping non-regular file "%s"\n' % each) for each in names)
    async with interrupted(uploads, claims):
        result = await uploads.pull()
    assert (result.complete, result.blocked, result.deleted) == (False, True, 0), result
    assert len(list(uploads.target.iterdir())) == 20 and untouched(uploads) and Path("/etc/passwd").exists()
    assert (await uploads.pull()).complete


# --- a daemon that speaks the protocol itself ------------------------------------------------------------------------


@asynccontextmanager
async def lying(uploads: Mirror, lie: Lie, greeting: bytes = b"@RSYNCD: OK\n") -> AsyncIterator[None]:
    """A daemon of protocol 30 that reads nothing behind the arguments, and says what ``lie`` says."""
    honest = uploads.port

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(b"@RSYNCD: 30.0\n")
            for _ in range(2):
                await reader.readuntil(b"\n")
            writer.write(greeting)
            if b"OK" in greeting:
                await reader.readuntil(b"\0\0")
                writer.write(b"\0" + struct.pack("<I", 1))  # no flags; the seed
            await lie(writer)
        writer.close()

    async with await asyncio.start_server(guest, ADDRESS, 0) as server:
        uploads.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            uploads.port = honest


def listed(name: bytes, mode: int = 0o100644, target: bytes = b"", *, first: bool = False) -> bytes:
    """One entry as flist.c sends it: long name, empty, its ACLs and attributes those of the first."""
    assert len(name) < 128 and len(target) < 128
    entry = bytes([0x41 if mode == 0o40755 else 0x40, len(name)]) + name + b"\0\0\0" + b"\x65\x00\xf1\x53"
    entry += struct.pack("<I", mode) + b"\0\0"
    if target:
        return entry + bytes([len(target)]) + target + (b"\0\0" if first else b"\1")
    access = b"\0\0" if first else b"\1"
    default = b"\0\0" if mode == 0o40755 else b""
    return entry + access + default + (b"\0\0" if first else b"\1")


async def test_the_daemon_of_these_tests_is_understood(uploads: Mirror) -> None:
    """Else it would prove nothing: folders of its list are made."""
    entries = [listed(b".", 0o40755, first=True), listed(b"sub", 0o40755).replace(b"\1\0\0\1", b"\1\1\1")]

    async def lie(writer: asyncio.StreamWriter) -> None:
        writer.write(frame(DATA, b"".join(entries) + b"\0"))
        await asyncio.sleep(5)

    async with lying(uploads, lie):
        result = await uploads.pull()
    assert not result.complete
    assert (uploads.target / "sub").is_dir(), result


@pytest.mark.parametrize(
    "names",
    [
        [b"../outside/planted"],
        [b"/tmp/planted"],
        [b"sub/../../outside/planted"],
        [b".."],
        [b"way/planted"],
        [b"way/precious"],
    ],
)
async def test_names_that_lead_out_of_the_set_lead_nowhere(uploads: Mirror, names: list[bytes]) -> None:
    await settled(uploads)
    before = uploads.tree(uploads.target)
    outside = os.fsencode(uploads.store.parent.parent / "outside")
    entries = listed(b".", 0o40755, first=True) + listed(b"way", 0o120777, b"../../outside")
    entries += b"".join(map(listed, names))
    assert outside

    async def lie(writer: asyncio.StreamWriter) -> None:
        writer.write(frame(DATA, entries + b"\0"))
        await asyncio.sleep(2)

    async with lying(uploads, lie):
        result = await uploads.pull()
    assert not result.complete and result.reason
    assert untouched(uploads) and not Path("/tmp/planted").exists()
    assert before.items() <= uploads.tree(uploads.target).items()


async def test_a_list_without_an_end_ends_with_the_memory_that_a_pull_may_have(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(uploads)
    most = 200 << 20
    monkeypatch.setattr(runner, "most_memory", lambda: most)
    sent = 0

    async def lie(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(frame(DATA, listed(b".", 0o40755, first=True)))
        while True:
            writer.write(frame(DATA, b"".join(listed(b"%090d" % number) for number in range(sent, sent + 1000))))
            sent += 1000
            await writer.drain()

    began = time.monotonic()
    async with lying(uploads, lie):
        result = await uploads.pull()
    assert not result.complete and "out of memory" in str(result.reason)
    assert time.monotonic() - began < 50 and sent > 100_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < 2 * most
    assert len(list(uploads.target.iterdir())) == 20


@pytest.mark.parametrize("text", [b"x" * 1000, b'skipping non-regular file "%d"\n'], ids=["line", "names"])
async def test_talk_without_an_end_is_neither_kept_nor_listened_to_for_ever(
    uploads: Mirror, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    await settled(uploads)
    monkeypatch.setattr(passes, "MOST_SKIPPED", 5000)
    said = 0

    async def lie(writer: asyncio.StreamWriter) -> None:
        nonlocal said
        while True:
            writer.write(b"".join(frame(INFO, text % n if b"%" in text else text) for n in range(said, said + 100)))
            said += 100
            await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    async with lying(uploads, lie):
        uploads.seconds = 8
        result = await uploads.pull()
    assert not result.complete and time.monotonic() - began < 12
    assert said > 5000 and len(str(result.reason)) < 600
    assert result.reason == (
        "the source names more than 5000 devices, sockets and FIFOs"
        if b"%" in text
        else "it did not finish in its time"
    )
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 20 << 20
    assert len(list(uploads.target.iterdir())) == 20


async def test_a_refusal_is_told_in_few_words(uploads: Mirror) -> None:
    async def lie(writer: asyncio.StreamWriter) -> None:
        await writer.drain()

    async with lying(uploads, lie, b"@ERROR: \x1b[31m" + b"x" * 900 + b"\n"):
        result = await uploads.pull()
    assert not result.complete and "\x1b" not in str(result.reason) and len(str(result.reason)) <= 500


async def test_a_greeting_without_an_end_is_ended(uploads: Mirror) -> None:
    async def lie(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"welcome\n" * 1000)
            await writer.drain()

    began = time.monotonic()
    async with lying(uploads, lie, b"hello\n"):
        uploads.seconds = 3
        result = await uploads.pull()
    assert result.reason == "it did not finish in its time" and time.monotonic() - began < 8
    uploads.seconds = 30
    assert (await uploads.pull()).complete, "and the next one is a pull like any other"
