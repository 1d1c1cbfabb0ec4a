"""``secondsite status --watch``: the same picture, looked at again each second, until q or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import termios
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from secondsite.cli.views.status import WIDEST, shown
from secondsite.errors import SecondsiteError, UsageError
from secondsite.spec import paths

PERIOD_SECONDS = 1.0
Look = Callable[[], Awaitable[Mapping[str, Any]]]


def show(config: Path | None) -> int:
    """Until the person has seen enough; the exit code is that of the last look."""
    if not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal", slug="no-terminal", hint="secondsite status --json")
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_watch(config))
    return 0


async def _watch(config: Path | None) -> int:
    console = Console(highlight=False)
    enough = asyncio.Event()
    ready = False
    with _keys(enough), Live(console=console, screen=True, auto_refresh=False) as live:
        async with _looking(config) as look:
            while not enough.is_set():
                try:
                    status = await look()
                    ready = bool(status["ready"])
                    picture = shown(status, min(console.width, WIDEST))
                except SecondsiteError as problem:
                    picture = Text(f"{problem}\n\nlooking again; q ends", "yellow")
                live.update(picture, refresh=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD_SECONDS):
                        await enough.wait()
    return 0 if ready else 1


@asynccontextmanager
async def _looking(config: Path | None) -> AsyncIterator[Look]:
    """How to look again and again from here: by the agent on a site's host, over kept connections elsewhere."""
    if paths.SITE.exists():
        from secondsite.cli.sight import begin

        async def at_hand() -> Mapping[str, Any]:
            return await asyncio.to_thread(lambda: begin(config)())

        yield at_hand
        return
    from secondsite.cli.options import find_config
    from secondsite.cli.sight_ssh import Hosts
    from secondsite.spec.load import load

    async with Hosts(load(find_config(config)).spec) as hosts:
        yield hosts.look


@contextlib.contextmanager
def _keys(enough: asyncio.Event) -> Iterator[None]:
    """Read single keys, q to leave; the terminal is as before afterwards."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    loop = asyncio.get_running_loop()

    def pressed() -> None:
        if sys.stdin.read(1) in ("q", "Q", "\x1b", ""):
            enough.set()

    try:
        tty.setcbreak(keyboard)
        loop.add_reader(keyboard, pressed)
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
