"""HTTP over one kept connection, on asyncio streams: what an agent needs to ask its peer each second, and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from secondsite.errors import FinalError, RetryableError

MAX_BODY = 8 * 1024 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Line:
    """A kept connection to one HTTP/1.1 server. Not for two requests at a time."""

    name: str
    dial: Callable[[], Awaitable[Streams]]
    _streams: Streams | None = field(default=None, init=False)

    async def get(self, path: str, *, token: str | None, timeout: float) -> bytes:
        """The body of a 200 answer.

        Raises RetryableError (``peer-silent``) where nobody answers in time, FinalError (``peer-refused``) on
        another status.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._ask(path, token)
        except FinalError:
            self.hang_up()
            raise
        except TimeoutError as late:
            self.hang_up()
            raise RetryableError(f"no answer within {timeout:g} s", slug="peer-silent", host=self.name) from late
        except (OSError, ValueError, EOFError) as lost:
            self.hang_up()
            told = str(lost) or type(lost).__name__
            raise RetryableError(f"no answer: {told}", slug="peer-silent", host=self.name) from lost
        except asyncio.CancelledError:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """Close; the next request dials again."""
        streams, self._streams = self._streams, None
        if streams is not None:
            with contextlib.suppress(OSError, RuntimeError):
                streams[1].transport.abort()

    async def _ask(self, path: str, token: str | None) -> bytes:
        if self._streams is not None:
            try:
                return await self._exchange(self._streams, path, token)
            except (OSError, EOFError):  # the server closed an idle line: dial once more
                self.hang_up()
        self._streams = await self.dial()
        return await self._exchange(self._streams, path, token)

    async def _exchange(self, streams: Streams, path: str, token: str | None) -> bytes:
        reader, writer = streams
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.name}\r\n{bearer}\r\n".encode())
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = parse_head(head)
        if length is None or length > MAX_BODY:
            raise ValueError("an answer without a sensible length")
        body = await reader.readexactly(length)
        if status != 200:
            told = body.decode("utf-8", "replace").strip()[:200]
            raise FinalError(f"it answers {status}: {told}", slug="peer-refused", host=self.name)
        return body


def parse_head(head: bytes) -> tuple[int, int | None]:
    """Status and Content-Length of an answer's head. Raises ValueError on what is not HTTP."""
    first, *rest = head.decode("latin-1").split("\r\n")
    protocol, _, status = first.partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError(f"not HTTP: {first[:60]!r}")
    length = None
    for line in rest:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return int(status[:3]), length
