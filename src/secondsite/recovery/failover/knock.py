"""Knock at the old primary's doors while the standby is looked at, so that a silent one need not be waited for then.

A connection that is opened asks for nothing and stops nothing. Plain sockets, because the first look holds the event
loop up: what the kernel has heard meanwhile counts, and no timer that has run out is believed before it.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

Address = tuple[str, int]


class Knock:
    """Connections on their way to several doors of one host."""

    def __init__(self, doors: Sequence[Address]) -> None:
        if not doors:  # its silence would be taken for the host's
            raise ValueError("a knock needs a door")
        self._began = asyncio.get_running_loop().time()
        self._lines = [_towards(door) for door in doors]

    async def answered(self, *, within_seconds: float) -> bool:
        """Has any of them been taken, so many seconds after they were begun? Waits for the rest of that time only."""
        loop = asyncio.get_running_loop()
        if not self._taken():
            await asyncio.sleep(max(0.0, self._began + within_seconds - loop.time()))
        return self._taken()

    def close(self) -> None:
        """Give them up."""
        for line in self._lines:
            line.close()

    def _taken(self) -> bool:
        return any(_is_taken(line) for line in self._lines)


@contextmanager
def knocking(doors: Sequence[Address]) -> Iterator[Knock]:
    """A knock for the length of a procedure."""
    knock = Knock(doors)
    try:
        yield knock
    finally:
        knock.close()


def _towards(door: Address) -> socket.socket:
    address, port = door
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    line.setblocking(False)
    with suppress(OSError):  # on its way, or no way there: asked for later
        line.connect((address, port))
    return line


def _is_taken(line: socket.socket) -> bool:
    poll = select.poll()
    poll.register(line, select.POLLOUT)
    if not any(event & select.POLLOUT for _, event in poll.poll(0)):
        return False
    try:
        line.getpeername()
    except OSError:  # refused, or never on its way
        return False
    return True
