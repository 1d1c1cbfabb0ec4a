"""The customer's record: what counts as a promise, and what counts as its loss."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from secondsite_lab.customer import verify as verification
from secondsite_lab.customer.attempt import Attempt, Refused, Shop, content_of, request


def line(kind: str, key: str, *, acknowledged: bool = True) -> str:
    return Attempt(kind, key, 1.0, 2.0 if acknowledged else None, None if acknowledged else "timeout", None).line()


@contextmanager
def answering(answers: dict[str, object], status: int = 200) -> Iterator[Shop]:
    """A shop on this machine that shows what it is told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path.split("?")[0]]).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Shop(urlsplit(f"http://shop.example.test:{server.server_address[1]}"), "127.0.0.1", 1.0)
        server.shutdown()


def upload(key: str, content: bytes) -> dict[str, object]:
    return {"name": key, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_only_what_was_acknowledged_can_be_lost() -> None:
    shown = {"/orders": ["a", "c"], "/uploads": [upload("f", content_of("f", 100)), upload("h", b"damaged")]}
    log = [line("order", "a"), line("order", "b"), line("order", "c", acknowledged=False)]
    log += [line("order", "d", acknowledged=False), line("file", "f"), line("file", "g"), line("file", "h"), ""]
    with answering(shown) as shop:
        verdict = asyncio.run(verification.verify(shop, log, "127.0.0.1"))
    assert verdict == verification.Verdict(2, ["b"], 3, ["g", "h"])


def test_a_shop_that_answers_badly_is_no_verdict() -> None:
    with answering({"/orders": {"status": "unavailable"}}, 503) as shop, pytest.raises(Refused, match="503"):
        asyncio.run(verification.verify(shop, [], "127.0.0.1"))
    with answering({"/orders": {}, "/uploads": []}) as shop, pytest.raises(Refused, match="lists"):
        asyncio.run(verification.verify(shop, [], "127.0.0.1"))


def test_a_connection_that_ends_without_an_answer_is_no_acknowledgement() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            shop = Shop(urlsplit(f"http://shop.example.test:{port}"), "127.0.0.1", 1.0)
            with pytest.raises(Refused):
                await request(shop, "127.0.0.1", "POST", "/orders", b"{}")

    asyncio.run(ask())


def test_content_depends_on_the_key_and_has_the_size_asked_for() -> None:
    assert len(content_of("a", 4097)) == 4097
    assert content_of("a", 64) == content_of("a", 4096)[:64]
    assert content_of("a", 64) != content_of("b", 64)
