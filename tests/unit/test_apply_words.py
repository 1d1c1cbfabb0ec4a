"""What plan and apply say beside the changes: commands that work as they stand, and a failure at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli.bootstrap import run
from secondsite.cli.bootstrap.protection import Protection
from secondsite.cli.bootstrap.verify import Check
from secondsite.errors import HalfwayError
from secondsite.events import ChangePlanned, Event, Note, ignore
from secondsite.spec import Spec

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "example.toml"
MANY = [ChangePlanned(f"file /etc/{number}", "oslo", "write it", "+line\n" * 50) for number in range(9)]
FAILED = Check("tunnel", "oslo", False, "the tunnel is down")
AGES = 30.0  # seconds; nothing here takes one


class Order:
    """Hosts with these changes, where a check fails afterwards."""

    primary, standby = "oslo", "bergen"
    changes: list[ChangePlanned]

    def __init__(self, spec: Spec, *_: object) -> None:
        self.spec = spec
        self.done: list[object] = []

    async def observe(self) -> None:
        return

    async def plan(self) -> list[ChangePlanned]:
        return self.changes

    async def apply(self, *, allowed: object) -> None:
        return

    async def verify(self) -> list[Check]:
        await asyncio.sleep(0.01)
        return [FAILED]


def world(monkeypatch: pytest.MonkeyPatch, changes: list[ChangePlanned]) -> None:
    @asynccontextmanager
    async def connected(*_: object, **__: object) -> AsyncIterator[Mapping[str, Any]]:
        yield {}

    monkeypatch.setattr(run, "connected", connected)
    monkeypatch.setattr(run, "Order", type("Changing", (Order,), {"changes": changes}))


@pytest.mark.parametrize(("site", "option"), [(None, ""), ("bergen", " --replace-standby bergen")])
async def test_the_command_that_shows_every_change_has_the_option_that_was_given(
    site: str | None, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world(monkeypatch, MANY)
    said: list[Event] = []
    with pytest.raises(HalfwayError):
        await run.apply(EXAMPLE, site, said.append, yes=False)
    await run.plan(EXAMPLE, site, said.append)
    hints = [event.text for event in said if isinstance(event, Note) and "with its diff" in event.text]
    assert hints == [f"every change with its diff: secondsite plan --details{option}"] * 2


async def test_a_failed_check_is_told_at_once_and_nobody_waits_for_the_protection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world(monkeypatch, [])
    ended = asyncio.Event()

    async def protection(_: Spec) -> Protection:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        raise AssertionError("nobody waits for so long")

    monkeypatch.setattr(run, "_protection", protection)
    async with asyncio.timeout(AGES):
        with pytest.raises(HalfwayError, match="the tunnel is down"):
            await run.apply(EXAMPLE, None, ignore, yes=True)
    assert ended.is_set(), "its connections are closed"
