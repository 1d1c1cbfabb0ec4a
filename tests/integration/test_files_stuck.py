"""A file becomes a FIFO while rsync is on its way to it: what then waits for ever is ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite.files.rsync.stuck import Stuck, opening
from tests.integration.file_daemon import Mirror, mirror


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Mirror]:
    with mirror(tmp_path) as ready:
        yield ready


async def until_stuck(here: Mirror) -> None:
    async with asyncio.timeout(20):
        while not opening(here.daemon):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def pulling_a_file_that_becomes_a_fifo(here: Mirror) -> asyncio.Task[object]:
    """The first of two files travels for a second; the list of both is made by then."""
    (here.source / "first").write_bytes(os.urandom(1_000_000))
    (here.source / "second").write_text("a file")
    task = asyncio.ensure_future(here.pull(bandwidth=1_000_000))
    async with asyncio.timeout(10):
        while not any(here.target.glob(".first.*")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (here.source / "second").unlink()
    os.mkfifo(here.source / "second")
    await until_stuck(here)
    return task


async def test_a_transfer_that_waits_for_a_writer_is_ended_and_the_next_is_complete(here: Mirror) -> None:
    pulling, stuck = await pulling_a_file_that_becomes_a_fifo(here), Stuck(here.daemon)
    await stuck.look()
    await asyncio.sleep(0.2)
    assert opening(here.daemon), "seen once is not stuck"
    began = time.monotonic()
    await stuck.look()
    first = await pulling
    assert time.monotonic() - began < 5.0, "the standby hears of it at once"
    assert not first.complete  # type: ignore[attr-defined]
    assert (await here.pull()).complete
    assert here.tree(here.target).keys() == {"first"}
    assert not opening(here.daemon)


async def test_one_that_went_on_between_two_looks_is_left_alone(here: Mirror) -> None:
    """As on a disk that takes long for each of many files: it sleeps in open(2) each time, and not in the same."""
    ended = list[int]()
    pulling, stuck = (
        await pulling_a_file_that_becomes_a_fifo(here),
        Stuck(here.daemon, lambda pid, _: ended.append(pid)),
    )
    await stuck.look()
    with (here.source / "second").open("wb", buffering=0):
        await pulling
    again = asyncio.ensure_future(here.pull())
    await stuck.look()
    await again
    assert ended == []


async def test_where_no_daemon_runs_nobody_is_stuck(tmp_path: Path) -> None:
    await Stuck(tmp_path / "none.pid").look()
    assert opening(tmp_path / "none.pid") == frozenset()
