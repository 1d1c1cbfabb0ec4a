"""Ask the application whether it works: one GET, of whose answer only the status counts."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

ASK_SECONDS = 3.0


async def answers(url: str) -> bool:
    """Whether ``url`` answers 200 in time. Never raises for an application that is down: that is the answer."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or "127.0.0.1"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        async with asyncio.timeout(ASK_SECONDS):
            port = parts.port or (443 if secure else 80)
            reader, writer = await asyncio.open_connection(host, port, ssl=secure or None)
            try:
                writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                first = await reader.readline()
            finally:
                with contextlib.suppress(OSError):
                    writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return first.split(b" ")[1:2] == [b"200"]
