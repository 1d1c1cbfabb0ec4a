"""A half-dead primary takes connections and never answers: what fences it then, how soon, and what is told."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from secondsite.recovery import fence
from secondsite.recovery.failover.isolate import Fence, FenceAgain
from secondsite.recovery.fence import Attempt
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec
from secondsite.spec.model import Power
from tests.unit.test_recovery_failover import context

FENCED = b'HTTP/1.1 200 OK\r\n\r\n{"fenced": true}'


@asynccontextmanager
async def agent(*, health: float | None = None, fence: float | None = None) -> AsyncIterator[Peer]:
    """Takes every connection; answers after so many seconds, or never."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        seconds, answer = (health, b"HTTP/1.1 200 OK\r\n\r\n{}") if path == b"/v1/health" else (fence, FENCED)
        if seconds is None:
            await reader.read()  # until the other one has given up
        else:
            await asyncio.sleep(seconds)
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield Peer("oslo", "127.0.0.1", server.sockets[0].getsockname()[1], "t")


def powered(folder: Path, *, seconds: float = 0.0) -> Spec:
    """A site whose power is a file."""
    off = folder / "off"
    cut = f"import pathlib, time; time.sleep({seconds}); pathlib.Path({str(off)!r}).touch()"
    asked = f"import pathlib, sys; sys.exit(not pathlib.Path({str(off)!r}).exists())"
    power = Power(off=(sys.executable, "-c", cut), on=("true",), check=(sys.executable, "-c", asked))
    spec = context().spec
    oslo = spec.sites["oslo"].model_copy(update={"power": power})
    return spec.model_copy(update={"sites": {**spec.sites, "oslo": oslo}})


async def fenced(spec: Spec, peer: Peer, *, known_silent: bool = False) -> tuple[tuple[Attempt, ...], float]:
    began = time.monotonic()
    attempts = await fence.fence_peer(
        spec, peer, procedure_id="p", generation=2, connect_seconds=0.5, known_silent=known_silent
    )
    return attempts, time.monotonic() - began


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "GENTLE_SECONDS", 0.3)
    monkeypatch.setattr(fence, "QUESTION_SECONDS", 0.3)
    monkeypatch.setattr(fence, "CHECK_SECONDS", 0.05)


async def test_the_power_of_a_primary_that_takes_the_request_and_does_not_answer_is_cut_soon(tmp_path: Path) -> None:
    async with agent() as peer:
        attempts, seconds = await fenced(powered(tmp_path), peer)
    assert fence.confirmed(attempts)
    assert seconds < 5
    assert [one.unknown for one in attempts if one.method == fence.AGENT] == [True]


async def test_an_agent_that_still_answers_is_left_to_stop_it_in_good_order(tmp_path: Path) -> None:
    async with agent(health=0.0, fence=1.0) as peer:
        attempts, _ = await fenced(powered(tmp_path), peer)
    assert [one.method for one in attempts if one.confirmed] == [fence.AGENT]
    assert not (tmp_path / "off").exists()


async def test_a_peer_known_to_be_silent_holds_a_promotion_up_for_seconds_and_what_is_under_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "SILENT_GENTLE_SECONDS", 0.1)
    monkeypatch.setattr(fence, "SILENT_ROUND_SECONDS", 1.0)
    async with agent() as peer:
        attempts, seconds = await fenced(powered(tmp_path, seconds=60), peer, known_silent=True)
    assert not fence.confirmed(attempts)
    assert seconds < 4
    assert {one.method for one in attempts if one.unknown} >= {fence.AGENT, fence.COMMAND + sys.executable}


async def test_a_command_that_hangs_is_no_reason_to_wait_for_longer_than_the_step_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "COMMAND_SECONDS", 0.5)
    async with agent() as peer:
        monkeypatch.setattr(fence, "ROUND_SECONDS", 2.0)
        attempts, seconds = await fenced(powered(tmp_path, seconds=60), peer)
    assert seconds < 6
    assert next(one.unknown for one in attempts if one.method.startswith(fence.COMMAND))


def test_a_step_has_time_for_a_whole_round_and_for_the_way_back() -> None:
    parts = fence.ALIVE_SECONDS + fence.QUESTION_SECONDS * 2 + fence.COMMAND_SECONDS * 2 + fence.OFF_SECONDS
    assert max(parts, fence.ANSWER_SECONDS + 5) <= fence.ROUND_SECONDS
    back = fence.COMMAND_SECONDS + fence.BOOT_SECONDS + fence.ANSWER_SECONDS + 5
    assert max(fence.ROUND_SECONDS, back) < Fence.timeout_seconds == FenceAgain.timeout_seconds


async def test_power_and_guard_are_both_given_back_where_both_ways_may_have_fenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def post(_: Peer, path: str, *__: Any, **___: Any) -> dict[str, Any]:
        asked.append(path)
        return {"fenced": False}

    monkeypatch.setattr(Peer, "post", post)
    attempts = (Attempt(fence.AGENT, True, "stopped"), Attempt("command off", False, "under way", unknown=True))
    peer = Peer("oslo", "127.0.0.1", 9, "t")
    await fence.unfence_peer(powered(tmp_path), peer, attempts, procedure_id="p")
    assert asked == ["/v1/unfence"]
    await fence.unfence_peer(powered(tmp_path), peer, attempts[1:], procedure_id="p")
    assert asked == ["/v1/unfence"]
