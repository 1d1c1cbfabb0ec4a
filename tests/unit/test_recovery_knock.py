"""A knock at a silent peer: what the kernel has heard counts, even where the event loop was held up meanwhile."""

from __future__ import annotations

import asyncio
import socket
import time

from secondsite.recovery.failover.knock import knocking

SILENT = ("192.0.2.1", 22)  # for documentation (RFC 5737): nobody answers


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_whoever_listens_has_answered_although_the_loop_was_held_up_past_the_patience() -> None:
    with listening() as door, knocking([SILENT, door.getsockname()]) as knock:
        time.sleep(0.05)  # noqa: ASYNC251 - as a look at the database holds the loop up
        assert await knock.answered(within_seconds=0.02)


async def test_nobody_is_waited_for_longer_than_the_patience_since_the_knock() -> None:
    with knocking([SILENT]) as knock:
        await asyncio.sleep(0.1)
        began = time.monotonic()
        assert not await knock.answered(within_seconds=0.1)
        assert time.monotonic() - began < 0.09
        assert not await knock.answered(within_seconds=0.2)
        assert time.monotonic() - began > 0.05


async def test_a_door_that_refuses_has_not_answered() -> None:
    with listening() as door:
        address = door.getsockname()
    with knocking([address]) as knock:
        await asyncio.sleep(0.02)
        assert not await knock.answered(within_seconds=0.01)


async def test_without_a_door_nobody_answers() -> None:
    with knocking([]) as knock:
        assert not await knock.answered(within_seconds=0)
