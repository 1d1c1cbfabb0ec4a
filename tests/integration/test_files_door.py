"""The door over real sockets: who is let in, who is not, and what a hostile end of the line cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from secondsite.errors import FinalError, RetryableError
from secondsite.files.offer import door, seal
from secondsite.files.offer.call import call
from secondsite.files.offer.door import Handler, serve
from secondsite.files.offer.seal import TokenFile
from tests.integration.database_clusters import free_port

HERE = "127.0.0.1"
TOKEN = b"what both sites know"


def shared() -> bytes:
    return TOKEN


async def echo(request: Mapping[str, Any], line: socket.socket) -> None:
    """Says the request, then whatever it is told until the end of the line."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(line, json.dumps(request).encode() + b"\n")
    while told := await loop.sock_recv(line, 65536):
        await loop.sock_sendall(line, told)


class Opened:
    """A door that is open for one test."""

    def __init__(self) -> None:
        self.port = free_port()
        self.told: list[str] = []

    async def call(
        self, token: Callable[[], bytes | None] = shared, *, timeout: float = 10, **more: Any
    ) -> socket.socket:
        return await call(HERE, self.port, token, {"do": "echo", **more}, timeout=timeout)

    async def raw(self) -> socket.socket:
        line = socket.socket()
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, (HERE, self.port))
        return line


@asynccontextmanager
async def opened(
    handlers: Mapping[str, Handler] | None = None, token: Callable[[], bytes | None] = shared, **more: Any
) -> AsyncIterator[Opened]:
    here = Opened()
    task = asyncio.create_task(serve(HERE, here.port, token, handlers or {"echo": echo}, tell=here.told.append, **more))
    await asyncio.sleep(0)
    try:
        yield here
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def heard(line: socket.socket) -> bytes:
    """All that comes until the end of the line, however it ends."""
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        while more := await asyncio.get_running_loop().sock_recv(line, 65536):
            got += more
    return bytes(got)


async def test_who_knows_the_token_speaks_with_the_handler_it_has_named() -> None:
    async with opened() as here:
        with await here.call(set="uploads") as line:
            assert json.loads(await seal.read_line(line)) == {"do": "echo", "set": "uploads"}
            await asyncio.get_running_loop().sock_sendall(line, b"across\n")
            assert await seal.read_line(line) == b"across"


async def test_a_caller_with_another_token_is_not_let_in_and_says_so() -> None:
    async with opened() as here:
        with pytest.raises(FinalError, match="not proven") as refused:
            await here.call(lambda: b"another")
        assert refused.value.slug == "files-door-token"


async def test_a_door_with_another_token_is_not_believed() -> None:
    """Whoever listens on the port must prove the token, too: a copy is not made from an impostor."""
    reached: list[object] = []

    async def seen(request: Mapping[str, Any], line: socket.socket) -> None:
        reached.append(request)

    async with opened({"echo": seen}, token=lambda: b"another") as here:
        with pytest.raises(FinalError) as refused:
            await here.call()
        assert refused.value.slug == "files-door-token"
    assert reached == []


async def test_what_the_caller_said_cannot_be_sent_back_to_it_as_the_doors_answer() -> None:
    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(seal.GREETING + b"0" * seal.NONCE + b"\n")
        said = (await reader.readline()).partition(b" ")[2]
        writer.write(said.replace(b'{"do":"echo"}', b'{"ok":true}'))
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(mirror, HERE, 0)
    async with server:
        with pytest.raises(FinalError) as refused:
            await call(HERE, server.sockets[0].getsockname()[1], shared, {"do": "echo"}, timeout=5)
        assert refused.value.slug == "files-door-token"


async def test_what_was_said_once_cannot_be_said_again() -> None:
    async with opened() as here:
        first, own = await here.raw(), seal.nonce()
        greeting = await seal.read_line(first)
        said = own + b" " + seal.sealed(TOKEN, seal.CALLER, greeting[-seal.NONCE :] + own, {"do": "echo"}) + b"\n"
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(first, said)
        assert b'{"ok":true}' in await seal.read_line(first)
        again = await here.raw()
        await seal.read_line(again)
        await loop.sock_sendall(again, said)
        assert b'"error"' in await seal.read_line(again)
        first.close()
        again.close()


@pytest.mark.parametrize("side", ["door", "caller"])
async def test_without_a_token_nobody_comes_in(side: str, tmp_path: Path) -> None:
    missing = TokenFile(tmp_path / "peer.token")
    async with opened(token=missing if side == "door" else shared) as here:
        with pytest.raises(RetryableError if side == "door" else FinalError) as refused:
            await here.call(missing if side == "caller" else shared)
        assert refused.value.slug == ("files-door-silent" if side == "door" else "files-door-token")


async def test_a_token_that_is_written_anew_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "peer.token"
    file.write_bytes(b"old\n")
    async with opened(token=TokenFile(file)) as here:
        (await here.call(lambda: b"old")).close()
        (tmp_path / "new").write_bytes(TOKEN + b"\n")
        (tmp_path / "new").replace(file)
        (await here.call()).close()
        with pytest.raises(FinalError):
            await here.call(lambda: b"old")


async def test_a_request_that_nobody_handles_is_refused_in_words() -> None:
    async with opened() as here:
        with pytest.raises(FinalError, match="does not know") as refused:
            await here.call(do="rm")
        assert refused.value.slug == "files-door-refused"


async def test_a_request_can_be_refused_before_its_handler_sees_it() -> None:
    def admit(request: Mapping[str, Any]) -> None:
        if request.get("set") != "uploads":
            raise FinalError("there is no such set", slug="no-such-set")

    async with opened(admit=admit) as here:
        (await here.call(set="uploads")).close()
        with pytest.raises(FinalError, match="no such set") as refused:
            await here.call(set="../etc")
        assert refused.value.slug == "no-such-set"


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 200 + b"\n",
        b"\n",
        b"x" * seal.NONCE + b" \xff\xfe\n",
        os.urandom(5000) + b"\n",
    ],
)
async def test_garbage_opens_nothing_and_ends_nothing(said: bytes) -> None:
    async with opened() as here:
        line = await here.raw()
        await seal.read_line(line)
        await asyncio.get_running_loop().sock_sendall(line, said)
        assert b'"ok"' not in await asyncio.wait_for(heard(line), 3)
        line.close()
        (await here.call()).close()
        assert here.told == []


@pytest.mark.parametrize("body", [b"[" * 60_000, b"[]", b"null", b'{"do":["echo"]}', b'{"do":{}}', b"{}"])
async def test_a_request_that_is_sealed_rightly_and_is_none_is_refused(body: bytes) -> None:
    async with opened() as here:
        line, own = await here.raw(), seal.nonce()
        nonces = (await seal.read_line(line))[-seal.NONCE :] + own
        text = own + b" " + seal.seal(TOKEN, seal.CALLER, nonces, body) + b" " + body + b"\n"
        await asyncio.get_running_loop().sock_sendall(line, text)
        assert seal.opened(TOKEN, seal.DOOR, nonces, await seal.read_line(line))["error"] == "files-door-refused"
        line.close()
        (await here.call()).close()


@pytest.mark.parametrize("end", ["door", "caller"])
async def test_a_line_without_an_end_is_cut(end: str) -> None:
    if end == "door":
        async with opened() as here:
            line = await here.raw()
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(line, b"x" * 20 * seal.LONGEST)
            assert b'"ok"' not in await asyncio.wait_for(heard(line), 3)
            line.close()
            (await here.call()).close()
        return

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    server = await asyncio.start_server(endless, HERE, 0)
    with pytest.raises(FinalError) as refused:
        await call(HERE, server.sockets[0].getsockname()[1], shared, {"do": "echo"}, timeout=10)
    assert refused.value.slug == "files-door-token"
    server.close()


async def test_who_says_nothing_is_shown_out_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 0.4)
    async with opened() as here:
        silent = [await here.raw() for _ in range(door.STRANGERS - 1)]
        (await here.call(timeout=2)).close()
        loop = asyncio.get_running_loop()
        dripping = silent[0]
        await seal.read_line(dripping)
        began = loop.time()
        with contextlib.suppress(ConnectionError):
            while loop.time() - began < 3 and dripping.fileno() >= 0:
                await loop.sock_sendall(dripping, b"x")
                await asyncio.sleep(0.05)
        assert loop.time() - began < 2, "a byte now and then does not make the time longer"
        for line in silent:
            await asyncio.wait_for(heard(line), 2)
            line.close()
        (await here.call(timeout=2)).close()


async def test_beyond_the_limits_strangers_are_cut_off_and_guests_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 1.0)
    async with opened() as here:
        strangers = [await here.raw() for _ in range(door.STRANGERS)]
        for line in strangers:
            await seal.read_line(line)
        with pytest.raises(RetryableError) as refused:
            await here.call()
        assert refused.value.slug == "files-door-silent"
        for line in strangers:
            line.close()
        await asyncio.sleep(0.1)
        guests = [await here.call() for _ in range(door.GUESTS)]
        with pytest.raises(RetryableError) as refused:
            await here.call()
        assert refused.value.slug == "files-door-busy"
        guests.pop().close()
        await asyncio.sleep(0.1)
        guests.append(await here.call())
        for line in guests:
            line.close()


async def test_a_guest_that_takes_nothing_keeps_nobody_waiting() -> None:
    async def flood(request: Mapping[str, Any], line: socket.socket) -> None:
        while True:
            await asyncio.get_running_loop().sock_sendall(line, b"x" * 1_000_000)

    async with opened({"echo": echo, "flood": flood}) as here:
        slow = await here.call(do="flood")
        await asyncio.sleep(0.1)
        with await here.call(timeout=2) as line:
            assert await asyncio.wait_for(seal.read_line(line), 2)
        slow.close()


async def test_a_child_has_the_socket_as_its_standard_output_and_no_byte_passes_through_here() -> None:
    """As ``zfs send`` gets it. What was sent right behind the answer is not swallowed by the handshake either."""
    size = 3_000_000

    async def send(request: Mapping[str, Any], line: socket.socket) -> None:
        line.setblocking(True)  # a child knows nothing of sockets that are not ready
        child = await asyncio.create_subprocess_exec(
            "head", "-c", str(size), "/dev/zero", stdout=line.fileno(), stdin=subprocess.DEVNULL
        )
        assert await child.wait() == 0

    async with opened({"echo": echo, "send": send}) as here:
        with await here.call(do="send") as line:
            assert await asyncio.wait_for(heard(line), 20) == bytes(size)
        assert here.told == []


async def test_a_handler_that_fails_is_told_and_ends_nobody_else() -> None:
    async def lost(request: Mapping[str, Any], line: socket.socket) -> None:
        raise {"error": FinalError("not here"), "mistake": KeyError("x"), "gone": ConnectionResetError("gone")}[
            request["how"]
        ]

    async with opened({"echo": echo, "lost": lost}) as here:
        stays = await here.call()
        for how in ("error", "mistake", "gone"):
            with await here.call(do="lost", how=how) as line:
                assert await asyncio.wait_for(heard(line), 2) == b""
        await seal.read_line(stays)
        await asyncio.get_running_loop().sock_sendall(stays, b"still here\n")
        assert await asyncio.wait_for(seal.read_line(stays), 2) == b"still here"
        stays.close()
        assert [text.partition(":")[0] for text in here.told] == ["lost"] * 3


async def test_a_hostile_refusal_is_cut_and_cannot_choose_its_words_freely() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = seal.nonce()
        writer.write(seal.GREETING + own + b"\n")
        nonces = own + (await reader.readline()).partition(b" ")[0]
        answer = {"error": "../../etc/passwd", "message": "\x1b[2J" + "x" * 10_000}
        writer.write(seal.sealed(TOKEN, seal.DOOR, nonces, answer) + b"\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, HERE, 0)
    async with server:
        with pytest.raises(FinalError) as refused:
            await call(HERE, server.sockets[0].getsockname()[1], shared, {"do": "echo"}, timeout=5)
    assert refused.value.slug == "files-door-refused"
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 600


async def test_nobody_at_the_port_silence_and_a_port_that_is_taken_are_told_apart() -> None:
    with pytest.raises(RetryableError) as refused:
        await call(HERE, free_port(), shared, {"do": "echo"}, timeout=2)
    assert refused.value.slug == "files-door-silent"
    with socket.create_server((HERE, 0)) as deaf:
        port = deaf.getsockname()[1]
        with pytest.raises(RetryableError, match="said nothing"):
            await call(HERE, port, shared, {"do": "echo"}, timeout=0.3)
        with pytest.raises(RetryableError) as taken:
            await serve(HERE, port, shared, {"echo": echo})
        assert taken.value.slug == "files-door-port"
