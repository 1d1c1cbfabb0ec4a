"""Let `zfs receive` have the socket: never with -F, never mounted, and only what was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from secondsite.errors import FinalError, RetryableError
from secondsite.files.store import Held
from secondsite.files.zfs import stream
from secondsite.files.zfs.host import Host, kill
from secondsite.files.zfs.line import readable

STALLED_SECONDS = 300.0  # without a byte
LOOK_SECONDS = 0.5
_MODIFIED = re.compile(r"has been modified|does not\s+match incremental source", re.IGNORECASE)
_RECEIVED = struct.Struct("=Q")  # tcp_info.tcpi_bytes_received, linux/tcp.h
_RECEIVED_AT = 128


@dataclass(frozen=True, slots=True)
class Received:
    """modified: the dataset here was written to since the base. problem: None where all went well."""

    bytes: int
    problem: str | None = None
    modified: bool = False


async def receive(
    host: Host,
    line: socket.socket,
    dataset: str,
    *,
    to: int,
    base: int | None,
    seconds: float,
    held: Held | None = None,
    watch: Callable[[int], None] = lambda done: None,
    checked: bool = True,
) -> Received:
    """Receive one stream into ``dataset``. to, base: the guids that it has to be of. checked: False for a resumed one,
    whose head says it otherwise. Raises FinalError (``zfs-refused``) where something else comes: not a byte of it is
    received."""
    if not await _head_is(line, to, base if checked else -1):
        raise FinalError(
            "the source sends something else than it was asked for; nothing of it was received",
            slug="zfs-refused",
            step="pull files",
        )
    line.setblocking(True)
    child = await asyncio.create_subprocess_exec(
        *host.argv("zfs", "receive", *await _options(host), dataset),
        stdin=line.fileno(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=dict(os.environ) | {"LC_ALL": "C.UTF-8"},
    )
    if held is not None:
        held.running(child.pid)
    try:
        assert child.stderr is not None
        late = await _ended(child, line, seconds, watch)
        said = (await child.stderr.read(65536)).decode("utf-8", "replace").strip()
        count = _count(line)
        if child.returncode == 0:
            return Received(count)
        return Received(count, late or said.replace("\n", " ") or f"ended with {child.returncode}", _is_modified(said))
    finally:
        if held is not None:
            held.running(None)
        if child.returncode is None:
            kill(child.pid)
            await child.wait()


async def _options(host: Host) -> list[str]:
    can = await host.features()
    words = ["-u"]
    if can.resume:
        words.append("-s")
    if can.exclude:
        words += ["-x", "mountpoint", "-o", "readonly=on", "-o", "canmount=noauto"]
    return words


def _is_modified(said: str) -> bool:
    return _MODIFIED.search(said) is not None


async def _ended(
    child: asyncio.subprocess.Process, line: socket.socket, seconds: float, watch: Callable[[int], None]
) -> str | None:
    """Wait; why it was killed, where it was."""
    loop = asyncio.get_running_loop()
    deadline, seen, moved = loop.time() + seconds, -1, loop.time()
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await child.wait()
                return None
        except TimeoutError:
            pass
        now = _count(line)
        if now != seen:
            seen, moved = now, loop.time()
            watch(now)
        if loop.time() > deadline or loop.time() - moved > STALLED_SECONDS:
            kill(child.pid)
            await child.wait()
            return "it did not finish in its time" if loop.time() > deadline else "the source sends nothing any more"


def _count(line: socket.socket) -> int:
    """Bytes that came on this connection."""
    with contextlib.suppress(OSError, struct.error):
        told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
        return int(_RECEIVED.unpack_from(told, _RECEIVED_AT)[0])
    return 0


async def _head_is(line: socket.socket, to: int, base: int | None) -> bool:
    """Look at the head and leave it where it is. base: -1 for whatever it says.

    Raises RetryableError (``files-door-silent``) where nothing comes.
    """
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            while True:
                seen = await _peek(line)
                if len(seen) >= stream.BYTES:
                    break
                if not seen:
                    raise RetryableError("the source sent nothing", slug="files-door-silent", step="pull files")
                await asyncio.sleep(0.01)
                if _closed(line, len(seen)):
                    raise RetryableError("the source broke off", slug="files-door-silent", step="pull files")
    except (OSError, TimeoutError) as gone:
        raise RetryableError(f"the source broke off: {gone}", slug="files-door-silent", step="pull files") from gone
    found = stream.head(seen)
    return found is not None and found.to == to and base in (-1, found.base or None)


async def _peek(line: socket.socket) -> bytes:
    while True:
        await readable(line)
        try:
            return line.recv(stream.BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            continue


def _closed(line: socket.socket, seen: int) -> bool:
    """Whether no more will come than was seen: CLOSE_WAIT with nothing more in the queue."""
    told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return told != 1 and len(line.recv(stream.BYTES, socket.MSG_PEEK)) == seen  # TCP_ESTABLISHED
