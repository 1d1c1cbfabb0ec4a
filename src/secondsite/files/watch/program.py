"""The process ``secondsite files watch``: watches, and opens the door. Started by systemd on both hosts.

It is apart from the agent because it needs rights that the agent should not hold for longer than it must, because what
the peer says reaches it, and because it must stay small: nothing heavy is imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

from secondsite.errors import RetryableError
from secondsite.files.offer.door import serve, to_stderr
from secondsite.files.offer.seal import TokenFile
from secondsite.files.watch.config import WatchConfig, load
from secondsite.files.watch.handlers import Source, handlers
from secondsite.files.watch.watcher import Watcher
from secondsite.notify import Notifier
from secondsite.spec import paths

AGAIN_SECONDS = 2.0
BEAT_SECONDS = 10.0


def main(config: Path = paths.WATCH_CONF, journals: Path = paths.DIRTY, token: Path = paths.PEER_TOKEN) -> int:
    """Until it is told to end (SIGTERM, SIGINT). Raises FinalError (``watch-config``)."""
    asyncio.run(_until_told(watch(load(config), journals, TokenFile(token), Notifier())))
    return 0


async def watch(config: WatchConfig, journals: Path, token: Callable[[], bytes | None], notifier: Notifier) -> None:
    """For ever."""
    watcher = Watcher(config.sets, journals)
    source = Source({each.name: each for each in config.sets}, watcher)
    async with asyncio.TaskGroup() as group:
        group.create_task(watcher.run())
        group.create_task(_door(config, token, source))
        group.create_task(_beat(source, notifier))


async def _door(config: WatchConfig, token: Callable[[], bytes | None], source: Source) -> None:
    """Open as soon as the port can be had; watching does not wait for it."""
    told = ""
    while True:
        try:
            await serve(config.address, config.port, token, handlers(source))
        except RetryableError as taken:
            if taken.message != told:
                to_stderr(taken.message)
            told = taken.message
        await asyncio.sleep(AGAIN_SECONDS)


async def _beat(source: Source, notifier: Notifier) -> None:
    """Say to systemd and to the log how well each set is watched, and feed the watchdog."""
    told: dict[str, str] = {}
    ready = False
    while True:
        await asyncio.sleep(0.05 if not ready else BEAT_SECONDS)
        now = {name: words(source, name) for name in source.sets}
        for name, text in now.items():
            if told.get(name) != text:
                to_stderr(f"{name}: {text}")
        told = now
        status = "; ".join(f"{name}: {text}" for name, text in now.items())
        if not ready:
            notifier.ready(status)
            ready = True
        notifier.alive(status)


def words(source: Source, name: str) -> str:
    """How well a set is watched, for a person."""
    seen = source.watcher.health(name)
    problem = f" ({seen.problem})" if seen.problem else ""
    if seen.watching:
        return f"watched by {seen.kind}{problem}"
    return f"not watched yet{problem}" if seen.kind == "starting" else f"not watched{problem}"


async def _until_told(work: object) -> None:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
