"""The copy becomes the original: a pull that runs is ended, and none begins any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError
from secondsite.files import store as records
from secondsite.files.store import POLL_SECONDS, SOURCE, end_running, locked, running
from secondsite.files.stream import heard

LOCK_SECONDS = 10.0
ENDED_SECONDS = 1.0  # for a pull that was ended to come to its end
SEEN_SECONDS = 0.1  # a round that is under way looks this often whether it still may


async def take_over(name: str, store: Path, *, whole: bool = False) -> None:
    """Note it, end the pull that runs, and each pass that it still begins: it must not write over what the application
    writes from now on. One that only waits for the disk writes nothing more, and is not waited for: a slow disk must
    not stop a failover. whole: whatever has the set's lock is waited for, because it does more than write (``unless``
    ends it at once). Raises RetryableError (``files-busy``)."""
    _note(name, store)
    await _end_orphan(name, store)
    for seconds in (ENDED_SECONDS, LOCK_SECONDS):
        try:
            async with locked(name, seconds=seconds, store=store, waiting=lambda: end_running(name, store)):
                _note(name, store)  # a pull that was just ending may have written its own word over it
                return
        except RetryableError as busy:
            last = busy
        if not whole and running(name, store) is None:
            return
    raise RetryableError(
        last.message,
        slug=last.slug,
        step="files-writable",
        hint="the pull does not end by itself: systemctl restart secondsite-agent, then go on",
    )


def _note(name: str, store: Path) -> None:
    record = records.load(name, store)
    if record.role != SOURCE:
        reached = heard.complete_at(name, record, store)
        record = replace(record, complete_at=reached, promotions=record.promotions + 1)  # written into: no version
    records.save(name, replace(record, role=SOURCE, settled=False, epoch=None), store)


async def _end_orphan(name: str, store: Path) -> None:
    """Whoever began it may have died, and its lock with it: then nobody is in the way, and it goes on writing."""
    until = time.monotonic() + ENDED_SECONDS
    while running(name, store) is not None and time.monotonic() < until:
        end_running(name, store)
        await asyncio.sleep(POLL_SECONDS)


async def unless(work: Coroutine[Any, Any, bool], name: str, store: Path) -> bool:
    """What ``work`` comes to, which is done under the set's lock; ended at once when the copy becomes the original.

    Raises FinalError (``files-are-source``) then, when nothing of it runs any more.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=SEEN_SECONDS)
            if not task.done() and records.load(name, store).role == SOURCE:
                await _ended(task)
                raise FinalError(
                    f"{name} became the original here, so nothing more is received",
                    slug="files-are-source",
                    step="pull files",
                )
        return task.result()
    finally:
        await _ended(task)


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # looked at, so that nobody misses it
