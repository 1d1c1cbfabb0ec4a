"""Work in a thread that uses descriptors: it is waited for even when nobody wants its result any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns. A thread cannot be cancelled, and the descriptors that it works with must not be closed,
    and given to others, under it. So it is waited for, however often that is cancelled."""
    return await stoppable(lambda: work(*args, **kwargs), lambda: None)


async def stoppable(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """The same. stop: called when the result is not wanted any more; ``work`` ends soon then."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as again:
            cancelled = again
            stop()
    if cancelled is not None:
        running.exception()  # looked at, so that nobody misses it
        raise cancelled
    return running.result()
