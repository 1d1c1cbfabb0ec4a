"""A knock at a silent peer: what the kernel has heard counts, even where the event loop was held up meanwhile."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace

import pytest

from secondsite.recovery.failover.isolate import LONG_SECONDS, Fence
from secondsite.recovery.failover.knock import Knock, knocking
from tests.unit.test_recovery_failover import context

SILENT = ("192.0.2.1", 22)  # for documentation (RFC 5737): nobody answers


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_whoever_listens_has_answered_although_the_loop_was_held_up_past_the_patience() -> None:
    with listening() as door, knocking([SILENT, door.getsockname()]) as knock:
        time.sleep(0.05)  # noqa: ASYNC251 - as a look at the database holds the loop up
        assert await knock.answered(within_seconds=0.02)


async def test_nobody_is_waited_for_longer_than_the_patience_since_the_knock() -> None:
    with knocking([SILENT]) as knock:
        await asyncio.sleep(0.5)
        began = time.monotonic()
        assert not await knock.answered(within_seconds=0.5)
        assert time.monotonic() - began < 0.4
        assert not await knock.answered(within_seconds=1.0)
        assert time.monotonic() - began > 0.3


async def test_a_door_that_refuses_has_not_answered() -> None:
    with listening() as door:
        address = door.getsockname()
    with knocking([address]) as knock:
        await asyncio.sleep(0.02)
        assert not await knock.answered(within_seconds=0.01)


async def test_a_knock_without_a_door_is_none() -> None:
    with pytest.raises(ValueError, match="door"), knocking([]):
        pass


async def test_a_fence_gives_a_peer_that_has_answered_the_knock_time_to_connect() -> None:
    with listening() as door, knocking([door.getsockname()]) as knock:
        assert await fence_with(knock)._patience() == LONG_SECONDS
    with knocking([SILENT]) as knock:
        assert await fence_with(knock)._patience() == 0


async def test_a_knock_is_waited_for_as_long_as_the_path_takes() -> None:
    with knocking([SILENT]) as knock:
        began = time.monotonic()
        assert await fence_with(knock, round_trip=0.1)._patience() == 0
        assert time.monotonic() - began > 0.28


def fence_with(knock: Knock, round_trip: float | None = None) -> Fence:
    known = context()
    arguments = replace(known.arguments, accept_unconfirmed_fence=True, peer_silent_since=time.time() - 60)
    return Fence(replace(known, arguments=arguments, knock=knock, round_trip=round_trip))
