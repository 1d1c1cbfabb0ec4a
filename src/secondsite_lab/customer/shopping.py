"""Shop without pause: attempts start on time, however long the ones before them take."""

import asyncio
import signal
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from secondsite_lab.customer.attempt import Attempt, Shop, attempt


@dataclass(frozen=True, slots=True)
class Habit:
    """How often this customer orders and uploads; zero is never."""

    order_every: float
    upload_every: float
    upload_size: int
    duration: float | None


async def shop_until_stopped(shop: Shop, habit: Habit, tell: Callable[[Attempt], None]) -> None:
    """Start attempts until a signal comes or the time is over; wait for those under way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if habit.duration is not None:
        loop.call_later(habit.duration, stop.set)
    async with asyncio.TaskGroup() as tasks:
        for kind, every in (("order", habit.order_every), ("file", habit.upload_every)):
            if every > 0:
                tasks.create_task(_keep_trying(shop, kind, every, habit.upload_size, tell, stop))


async def _keep_trying(
    shop: Shop, kind: str, every: float, size: int, tell: Callable[[Attempt], None], stop: asyncio.Event
) -> None:
    async def one(key: str) -> None:
        tell(await attempt(shop, kind, key, size))

    loop = asyncio.get_running_loop()
    prefix, number, start = uuid.uuid4().hex[:8], 0, loop.time()
    async with asyncio.TaskGroup() as attempts:
        while not stop.is_set():
            number += 1
            attempts.create_task(one(f"{kind}-{prefix}-{number:06d}"))
            try:
                async with asyncio.timeout_at(start + number * every):
                    await stop.wait()
            except TimeoutError:
                continue
