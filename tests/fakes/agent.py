"""Something that listens where a peer's agent should, and says what it is told to say to whoever knows the token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from secondsite.recovery.peer import Peer

TOKEN = "t"
GUARD = json.dumps({"site": "oslo", "role": "primary", "writable": True, "generation": 1, "active": True})
ANSWERS = {"/v1/guard": GUARD, "/v1/health": json.dumps({"site": "oslo", "version": "1", "troubles": []})}
_REFUSED = json.dumps({"error": "unauthorized", "message": "the token is not this site's"})
_UNKNOWN = json.dumps({"error": "no-such-path", "message": "there is nothing"})


@asynccontextmanager
async def fake_agent() -> AsyncIterator[Peer]:
    """The peer, as one reaches it; nobody listens any more afterwards."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1]
        if f"Bearer {TOKEN}\r\n" not in head:
            status, body = "401 Unauthorized", _REFUSED
        else:
            status, body = ("200 OK", ANSWERS[path]) if path in ANSWERS else ("404 Not Found", _UNKNOWN)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Peer("oslo", "127.0.0.1", server.sockets[0].getsockname()[1], TOKEN)
