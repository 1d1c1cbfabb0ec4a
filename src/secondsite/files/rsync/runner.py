"""Run rsync: progress as it goes, a deadline, and no process left behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from secondsite.errors import FinalError
from secondsite.files.rsync import confine
from secondsite.files.rsync.output import progress
from secondsite.files.store import Held

LINE_BYTES = 65536
PAGE_BYTES = 4096  # the least that a pipe holds (fcntl(2), F_SETPIPE_SZ): about a hundred names
REST_SECONDS = 1.0  # for what was printed to be read, and for who is left of an rsync, when its first process has ended
TERM_SECONDS = 1.0  # to end by itself
LOOK_SECONDS = 0.2  # between two questions whether it is to end
KEPT_BYTES = 262144  # of what it prints; a listing may be longer and only its end matters
# Exit codes behind which a part of rsync may have died with its half-made file where it was (man rsync, EXIT VALUES).
_LEFT = (12, 14, 15, 16, 20, 21)


def most_memory() -> int:
    """Bytes that each process of an rsync may have: half of this host's memory, and a GiB in any case, which is room
    for some five million files. The list that a source sends has no other end, and the agent's children are among the
    last that the kernel kills where memory is short."""
    return max(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. code: None where its deadline passed. asked: it was ended because ``until`` said so."""

    code: int | None
    stdout: str
    stderr: str
    asked: bool = False

    @property
    def text(self) -> str:
        return f"{self.stdout}\n{self.stderr}"


Watch = Callable[[int, int | None, float, int], None]
GoOn = Callable[[bytes], bool]


async def run(
    argv: Sequence[str],
    *,
    seconds: float,
    held: Held | None = None,
    watch: Watch | None = None,
    writable: Sequence[Path] | None = None,
    given: bytes = b"",
    go_on: GoOn | None = None,
    closely: bool = False,
    until: Callable[[], bool] | None = None,
) -> Ended:
    """Run ``argv`` for ``seconds`` at most. writable: the folders below which it may write, where the kernel can see to
    that (confine.py); None leaves it as it is. given: its standard input. go_on: hears whole lines, and ends it.
    closely: it waits while a page of what it prints is unread; else it is thousands of small files ahead of ``go_on``
    on a busy host. until: it is ended once this is true, and keeps what it has of a file (man rsync, --partial-dir).

    Raises FinalError (slug ``program-missing``) where rsync is not here, OSError where it cannot be started.
    """
    try:
        child = confine.start(
            argv,
            writable,
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env=dict(os.environ) | {"LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as missing:
        raise FinalError(
            "rsync is not installed here", slug="program-missing", step="pull files", hint="apt-get install rsync"
        ) from missing
    if closely and child.stdout is not None:
        fcntl.fcntl(child.stdout.fileno(), fcntl.F_SETPIPE_SZ, PAGE_BYTES)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(child.pid, resource.RLIMIT_AS, (most_memory(), most_memory()))
    pipes = asyncio.gather(
        _read(child.stdout, watch, _asked(child, go_on)), _read(child.stderr), _write(child.stdin, given)
    )
    try:
        fresh = held is not None and writable is not None and held.begin()
        if held is not None:
            held.running(child.pid)
        async with asyncio.timeout(seconds):
            asked = await _ended_or(child, until)
            out, err, _ = await _rest(child, pipes)
            child.wait()
            if held is not None and fresh and child.returncode not in _LEFT and child.returncode >= 0:
                held.done()
            return Ended(child.returncode, out, err, asked)
    except TimeoutError:
        return Ended(None, "", "")
    finally:
        pipes.cancel()
        await _end(child)
        await asyncio.wait([pipes])
        if not pipes.cancelled():
            pipes.exception()  # looked at, so that nobody misses it
        if held is not None:
            held.running(None)


async def _rest(child: subprocess.Popen[bytes], pipes: asyncio.Future[tuple[str, str, None]]) -> tuple[str, str, None]:
    """What it has printed. A receiver whose generator was killed would go on until its own time limit, and write."""
    try:
        async with asyncio.timeout(REST_SECONDS):
            return await asyncio.shield(pipes)
    except TimeoutError:
        _kill(child)
        return await pipes


async def _ended_or(child: subprocess.Popen[bytes], until: Callable[[], bool] | None) -> bool:
    """Until the child has ended; whether it was asked to."""
    if until is None:
        await _ended(child)
        return False
    ended = asyncio.ensure_future(_ended(child))
    try:
        while not until():
            done, _ = await asyncio.wait([ended], timeout=LOOK_SECONDS)
            if done:
                return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        await ended
        return True
    finally:
        ended.cancel()


async def _ended(child: subprocess.Popen[bytes]) -> None:
    """Until the child has ended (pidfd_open(2)). It is not reaped: so long its group bears its number and no other."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    handle = os.pidfd_open(child.pid)
    try:
        loop.add_reader(handle, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _write(pipe: IO[bytes] | None, given: bytes) -> None:
    """All of it, then its end. A child that has enough of it ends, and says why."""
    if pipe is None:
        return
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        writer.write(given)
        await writer.drain()
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        writer.close()


def _asked(child: subprocess.Popen[bytes], go_on: GoOn | None) -> Callable[[bytes], None] | None:
    """Lines as they come: a piece may end anywhere."""
    if go_on is None:
        return None
    left = b""

    def ask(piece: bytes) -> None:
        nonlocal left
        whole, end, left = (left + piece).rpartition(b"\n")
        left = left[-LINE_BYTES:]  # no line of ours is so long
        if end and not go_on(whole + end):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)

    return ask


async def _read(pipe: IO[bytes] | None, watch: Watch | None = None, ask: Callable[[bytes], None] | None = None) -> str:
    assert pipe is not None
    stream, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    kept = bytearray()
    try:
        while chunk := await stream.read(LINE_BYTES):
            kept += chunk
            del kept[:-KEPT_BYTES]
            if ask is not None:
                ask(chunk)
            if watch is not None and (seen := progress(chunk.decode("utf-8", "replace"))):
                watch(*seen)
    finally:
        transport.close()
    return kept.decode("utf-8", "surrogateescape").replace("\r", "\n")


async def _end(child: subprocess.Popen[bytes]) -> None:
    """The generator, the receiver and whoever else is in its group: by SIGTERM first, for then it keeps what it has of
    a large file, and whoever comes next goes on from there."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TERM_SECONDS):
                    await _ended(child)
        finally:
            _kill(child)
        await _ended(child)
        child.wait()


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
