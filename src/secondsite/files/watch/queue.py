"""What both of the kernel's queues have in common: to wait, to see how much there is, to read it without waiting."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
import time

READ_BYTES = 1 << 16


def waiting(queue: int) -> int:
    """Bytes that can be read now."""
    return int.from_bytes(fcntl.ioctl(queue, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def read(queue: int) -> bytes:
    """Whole events, as the kernel packs them; empty where nothing happened."""
    try:
        return os.read(queue, READ_BYTES)
    except BlockingIOError:
        return b""


async def told(queue: int) -> float:
    """Wait until there is something to read; when that was, in unix seconds."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[float] = loop.create_future()
    loop.add_reader(queue, lambda: None if ready.done() else ready.set_result(time.time()))
    try:
        return await ready
    finally:
        loop.remove_reader(queue)
