"""The application's units and its health, at this site."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from secondsite.errors import RetryableError
from secondsite.process import run

START_SECONDS = 90.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.01


async def start(units: Sequence[str]) -> None:
    """Start units in order. Raises FinalError with systemd's reason where one does not start."""
    for unit in units:
        await run(
            ["systemctl", "start", unit],
            timeout=START_SECONDS,
            step="start application",
            hint=f"journalctl -u {unit} -n 50",
        )


async def stop(units: Sequence[str]) -> None:
    """Stop units in reverse order; one that is not there counts as stopped."""
    for unit in reversed(units):
        await run(["systemctl", "stop", unit], timeout=STOP_SECONDS, check=False, step="stop application")


async def active(units: Sequence[str]) -> bool:
    """Are all of them active?"""
    if not units:
        return True
    done = await run(["systemctl", "is-active", *units], timeout=10, check=False)
    return done.stdout.split() == ["active"] * len(units)


async def any_active(units: Sequence[str]) -> bool:
    """Does any of them run, or is one on its way up or down?"""
    if not units:
        return False
    done = await run(["systemctl", "is-active", *units], timeout=10, check=False)
    return any(state in ("active", "activating", "reloading", "deactivating") for state in done.stdout.split())


async def missing(units: Sequence[str]) -> tuple[str, ...]:
    """Those that systemd does not know on this host."""
    if not units:
        return ()
    done = await run(["systemctl", "show", "--property=LoadState", "--value", *units], timeout=10, check=False)
    return tuple(unit for unit, state in zip(units, done.stdout.split(), strict=False) if state != "loaded")


async def healthy(url: str, *, within_seconds: float, or_end: Callable[[], None]) -> float:
    """Wait until the health URL answers 200; seconds waited. Raises RetryableError (``unhealthy``) otherwise.

    or_end: asked behind each failed request; raises where waiting is in vain.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        problem = await asyncio.to_thread(probe, url, 2.0)
        if problem is None:
            return loop.time() - began
        or_end()
        if loop.time() - began > within_seconds:
            raise RetryableError(
                f"the application does not become healthy within {within_seconds:g} s: {problem}",
                slug="unhealthy",
                step="application",
                hint=f"curl -i {url}",
            )
        await asyncio.sleep(POLL_SECONDS)


def probe(url: str, timeout_seconds: float) -> str | None:
    """One request to a health URL: None where it answers 200, else what was seen."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_seconds)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        text = answer.read(300).decode("utf-8", "replace").strip()
        return None if answer.status == 200 else f"it answers {answer.status} {text}"
    except (OSError, http.client.HTTPException) as down:
        return f"{type(down).__name__}: {down}"
    finally:
        connection.close()
