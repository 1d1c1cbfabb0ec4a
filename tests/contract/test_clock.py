"""What every clock owes: the machine's, and the one that tests set."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from secondsite.clock import Clock, SystemClock, from_text, to_text
from tests.fakes.clock import SetClock


@pytest.fixture(params=[SystemClock, SetClock], ids=["real", "fake"])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_the_present_is_aware_in_utc_and_survives_being_written(clock: Clock) -> None:
    now = clock.now()
    assert now.utcoffset() == timedelta(0)
    assert from_text(to_text(now)) == now


async def test_a_sleep_lets_that_much_time_pass_on_both_scales(clock: Clock) -> None:
    began, wall = clock.monotonic(), clock.now()
    await clock.sleep(0.05)
    assert clock.monotonic() - began >= 0.049
    assert clock.now() - wall >= timedelta(seconds=0.049)


async def test_monotonic_time_never_goes_backwards(clock: Clock) -> None:
    seen = []
    for pause in (0.0, 0.01, 0.0, -1.0):
        seen.append(clock.monotonic())
        await clock.sleep(pause)
    assert seen == sorted(seen) and clock.monotonic() >= seen[-1]


async def test_others_get_their_turn_while_one_sleeps(clock: Clock) -> None:
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        await clock.sleep(0.0)
        turns.append("sleeper")
    assert turns == ["other", "sleeper"]
