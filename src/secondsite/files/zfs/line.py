"""Wait for a socket that is read without taking more from it than is ours."""

from __future__ import annotations

import asyncio
import socket


async def readable(line: socket.socket) -> None:
    """Until there is something to read, or its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(line.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(line.fileno())
