"""Talk to the other site's agent over the tunnel: one small request, one JSON answer, always bounded in time.

Written on asyncio streams because this runs while a site burns: it imports nothing heavy and separates "nobody
there" (connecting failed) from "no answer" (the request may have had an effect).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError, UnknownOutcomeError
from secondsite.spec import Spec, paths

MAX_ANSWER_BYTES = 4 * 1024 * 1024
# A host that lost its power sends no word. Asked after so many idle seconds, then so often until given up (tcp(7)).
IDLE_SECONDS, PROBE_SECONDS, PROBES = 5, 2, 5


@dataclass(frozen=True, slots=True)
class Peer:
    """The other site's agent: where it listens inside the tunnel, and the secret both agents share."""

    site: str
    address: str
    port: int
    token: str

    @classmethod
    def of(cls, spec: Spec, own_site: str, token_file: Path = paths.PEER_TOKEN) -> Peer:
        """The peer of ``own_site``. A missing token file gives an empty token, which the peer refuses."""
        site = spec.peer_of(own_site)
        token = token_file.read_text().strip() if token_file.exists() else ""
        return cls(site, str(spec.tunnel_address(site)), spec.tunnel.api_port, token)

    async def get(self, path: str, *, connect_seconds: float, answer_seconds: float) -> Mapping[str, Any]:
        """GET a JSON document. Raises RetryableError (``peer-silent``) or FinalError (``peer-refused``)."""
        try:
            return await self._exchange("GET", path, b"", connect_seconds, answer_seconds)
        except UnknownOutcomeError as unanswered:
            raise RetryableError(unanswered.message, slug="peer-silent", host=self.site) from unanswered

    async def post(
        self, path: str, document: Mapping[str, Any], *, connect_seconds: float, answer_seconds: float
    ) -> Mapping[str, Any]:
        """POST a JSON document. Raises as ``get``, and UnknownOutcomeError where it was sent and no answer came."""
        return await self._exchange("POST", path, json.dumps(document).encode(), connect_seconds, answer_seconds)

    async def _exchange(
        self, method: str, path: str, body: bytes, connect_seconds: float, answer_seconds: float
    ) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(connect_seconds):
                reader, writer = await asyncio.open_connection(self.address, self.port)
        except (OSError, TimeoutError) as silent:
            raise RetryableError(
                f"the agent at {self.site} ({self.address}:{self.port}) does not answer",
                slug="peer-silent",
                host=self.site,
            ) from silent
        notice_death(writer)
        try:
            async with asyncio.timeout(answer_seconds):
                writer.write(self.request(method, path, body))
                await writer.drain()
                raw = await reader.read(MAX_ANSWER_BYTES)
                while not reader.at_eof():
                    raw += await reader.read(MAX_ANSWER_BYTES)
        except (OSError, TimeoutError) as lost:
            late = isinstance(lost, TimeoutError) and lost.errno is None  # our patience; the kernel's has a number
            how = f"did not answer within {answer_seconds:g} s" if late else "the line broke before it answered"
            raise UnknownOutcomeError(
                f"the agent at {self.site} took the request and {how}",
                slug="peer-unanswered",
                host=self.site,
            ) from lost
        finally:
            writer.close()
        return self.read(raw)

    def request(self, method: str, path: str, body: bytes) -> bytes:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.site}\r\nConnection: close\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def read(self, raw: bytes) -> Mapping[str, Any]:
        head, _, body = raw.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            self._raise_as_told(body)
            told = body.decode("utf-8", "replace").strip()[:300]
            code = status[0].decode() if status else "nothing"
            raise FinalError(
                f"the agent at {self.site} answered {code}: {told}",
                slug="peer-refused",
                host=self.site,
                hint=_way_on(code, self.site),
            )
        if b"transfer-encoding: chunked" in head.lower():
            body = _dechunked(body)
        try:
            document = json.loads(body)
        except ValueError as strange:
            raise FinalError(f"the agent at {self.site} sent no JSON", slug="peer-refused", host=self.site) from strange
        return document if isinstance(document, dict) else {"value": document}

    def _raise_as_told(self, body: bytes) -> None:
        """An error that the peer explains stays that error."""
        try:
            told = json.loads(body)
            error = FinalError(
                str(told["message"]), slug=str(told["error"]), host=told.get("host") or self.site,
                step=told.get("step"), hint=told.get("hint"),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if error.slug != "unauthorized":
            raise error


def _way_on(code: str, site: str) -> str | None:
    """What to do about an answer that explains nothing itself."""
    if code in ("401", "403"):
        return "the sites do not share a token: run secondsite apply"
    if code == "404":
        return f"the agent at {site} is of another release and does not know what was asked: run secondsite apply"
    if code.startswith("5"):
        return f"its own log says why; at {site}: journalctl -u secondsite-agent -n 50"
    return None


def notice_death(writer: asyncio.StreamWriter) -> None:
    """Have a connection end with an OSError some seconds after the other host is gone, however long an answer may
    take: by keepalive while it is idle, by TCP_USER_TIMEOUT while it sends (tcp(7), RFC 5482)."""
    line = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    limit = IDLE_SECONDS + PROBE_SECONDS * PROBES
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit * 1000)


def _dechunked(body: bytes) -> bytes:
    """Join a chunked body (RFC 9112, 7.1)."""
    parts, rest = [], body
    while rest:
        size_line, _, rest = rest.partition(b"\r\n")
        size = int(size_line.split(b";")[0] or b"0", 16)
        if size == 0:
            break
        parts.append(rest[:size])
        rest = rest[size + 2 :]
    return b"".join(parts)
