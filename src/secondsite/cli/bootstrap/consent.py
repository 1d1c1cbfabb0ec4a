"""Ask a person while the event loop goes on: meanwhile the hosts must keep hearing that somebody is there."""

from __future__ import annotations

import asyncio
import sys

from secondsite.cli import live
from secondsite.cli.render import confirm, decision, declined, prompt


async def agree(question: str, *, yes: bool) -> None:
    """Go on only if a person (or ``yes``) agrees. Raises as ``render.confirm``; can be cancelled while it waits."""
    if yes or not sys.stdin.isatty():
        confirm(question, yes=yes)
        return
    with live.question():
        decided = None
        while decided is None:
            print(prompt(question), end="", file=sys.stderr, flush=True)
            decided = decision(await _line())
    if not decided:
        raise declined()


async def _line() -> str:
    """A line from the terminal. A terminal becomes readable when a whole line is there."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    handle = sys.stdin.fileno()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)
    return sys.stdin.readline()
