"""Have the other site's agent carry out a procedure, and pass its events on: for who stands on the wrong host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from secondsite.errors import FinalError, HalfwayError, RetryableError
from secondsite.events import Emit, Result, from_line
from secondsite.recovery.peer import Peer, notice_death

CONNECT_SECONDS = 3.0
BEGIN_SECONDS = 10.0


async def relay(peer: Peer, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
    """The result as the other site gave it. Raises RetryableError where its agent is silent, FinalError where it
    refuses, and HalfwayError (``relay-lost``) where the line breaks: the agent there goes on by itself."""
    body = json.dumps(dict(arguments)).encode()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(peer.address, peer.port)
    except (OSError, TimeoutError) as silent:
        raise RetryableError(
            f"the agent at {peer.site} ({peer.address}:{peer.port}) does not answer",
            slug="peer-silent",
            host=peer.site,
            hint=f"on {peer.site}: systemctl start secondsite-agent; or run the command there",
        ) from silent
    notice_death(writer)
    try:
        writer.write(peer.request("POST", f"/v1/procedures/{kind}", body))
        await writer.drain()
        async with asyncio.timeout(BEGIN_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            async with asyncio.timeout(BEGIN_SECONDS):
                peer.read(head + await reader.read())  # raises what is told there
            raise FinalError(f"the agent at {peer.site} refused", slug="peer-refused", host=peer.site)
        async for line in _lines(reader, chunked=b"chunked" in head.lower()):
            event = from_line(line)
            if isinstance(event, Result):
                return event
            emit(event)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        pass  # told below
    finally:
        writer.close()
    raise HalfwayError(
        f"the line to {peer.site} broke; the agent there goes on with the {kind} by itself",
        slug="relay-lost",
        host=peer.site,
        hint=f"secondsite status, and if it is unfinished, on {peer.site}: secondsite {kind} --resume",
    )


async def _lines(reader: asyncio.StreamReader, *, chunked: bool) -> AsyncIterator[str]:
    """The body's lines as they come (RFC 9112, 7.1)."""
    rest = b""
    while True:
        if chunked:
            size = int((await reader.readline()).split(b";")[0] or b"0", 16)
            part = await reader.readexactly(size + 2)
            part = part[:-2]
        else:
            part = await reader.read(65536)
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode()
