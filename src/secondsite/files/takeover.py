"""The copy becomes the original: a pull that runs is ended, and none begins any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondsite.errors import RetryableError
from secondsite.files import store as records
from secondsite.files.store import SOURCE, end_running, locked, running
from secondsite.files.stream import heard

LOCK_SECONDS = 10.0
ENDED_SECONDS = 1.0  # for a pull that was ended to come to its end


async def take_over(name: str, store: Path) -> None:
    """Note it, end the pull that runs, and each pass that it still begins: it must not write over what the application
    writes from now on. One that only waits for the disk writes nothing more, and is not waited for: a slow disk must
    not stop a failover. Raises RetryableError (``files-busy``)."""
    record = records.load(name, store)
    if record.role != SOURCE:
        reached = heard.complete_at(name, record, store)
        record = replace(record, complete_at=reached, promotions=record.promotions + 1)  # written into: no version
    records.save(name, replace(record, role=SOURCE, settled=False, epoch=None), store)
    for seconds in (ENDED_SECONDS, LOCK_SECONDS):
        try:
            async with locked(name, seconds=seconds, store=store, waiting=lambda: end_running(name, store)):
                return
        except RetryableError as busy:
            last = busy
        if running(name, store) is None:
            return
    raise last
