"""The agent against real clusters: what it sees, remembers and says, through restarts and deaths."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from secondsite.agent.client import get
from secondsite.objectives.snapshot import Silence, SiteState
from tests.integration.agent_pair import Clusters, NoFiles, agent, clusters, until


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


async def test_both_sites_know_each_other_and_the_lag_is_about_a_second(both: Clusters) -> None:
    async with agent(both, "oslo") as oslo, agent(both, "bergen"):
        sock = both.base / "agent-bergen/agent.sock"
        await until(lambda: isinstance(oslo.board.peer_view, SiteState))
        await asyncio.sleep(3)
        document = await asyncio.to_thread(get, "/v1/status", agent=sock)
        database = document["replicas"][0]
        assert document["primary"] == "oslo" and document["sites"]["bergen"]["role"] == "standby"
        assert database["state"] == "streaming"
        assert 0 <= database["lag_seconds"] < 2.5
        assert database["lag_bytes"] is not None
        assert document["sites"]["oslo"]["reachable"]
        slots = {finding["check"] for finding in document["findings"]}
        assert not slots & {"slot", "streaming", "timeline", "reachable"}


async def test_a_primary_whose_agent_falls_silent_is_told_as_silent_with_its_last_words(both: Clusters) -> None:
    async with agent(both, "bergen") as bergen:
        async with agent(both, "oslo"):
            await until(lambda: isinstance(bergen.board.peer_view, SiteState))
        await until(lambda: isinstance(bergen.board.peer_view, Silence))
        view = bergen.board.peer_view
        assert isinstance(view, Silence) and view.last is not None and view.since is not None
        assert bergen.board.last_primary is not None
        before = bergen.board.recent[-1].seconds
        await asyncio.sleep(2.2)
        after = bergen.board.recent[-1].seconds
        assert before is not None and after is not None and after > before + 1


async def test_samples_and_last_position_survive_a_restart(both: Clusters) -> None:
    async with agent(both, "oslo"), agent(both, "bergen") as bergen:
        await until(lambda: bergen.board.last_primary is not None)
        await asyncio.sleep(1.5)
        kept, last = bergen.board.last_primary, bergen.board.recent[-1]
    async with agent(both, "bergen") as again:
        assert again.board.last_primary is not None and kept is not None
        assert again.board.last_primary.flushed == kept.flushed
        assert int(last.at) in {int(sample.at) for sample in again.board.recent}


async def test_a_broken_samples_file_is_set_aside(both: Clusters) -> None:
    file = both.base / "agent-bergen/samples.sqlite"
    for more in ("-wal", "-shm"):
        file.with_name(file.name + more).unlink(missing_ok=True)
    file.write_bytes(b"not a database" * 1000)
    async with agent(both, "bergen") as bergen:
        await until(lambda: len(bergen.board.recent) > 1)
    assert file.with_suffix(".broken").exists()
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT count(*) FROM sample").fetchone()[0] > 0


async def test_a_database_that_we_hold_read_only_is_no_standby_that_pulls_files(both: Clusters) -> None:
    """Whatever the guard has said last: its word goes as soon as it lets the site open, and the database is still up in
    recovery then. What such a site has may be the only copy."""
    signal_file = both.bergen.data / "standby.signal"
    async with agent(both, "bergen") as bergen:
        files = cast(NoFiles, bergen._ports.files)
        await until(lambda: files.may_pull())
        try:
            signal_file.write_text("secondsite: oslo does not answer\n")
            await until(lambda: not files.may_pull())
            assert bergen.board.database.role == "standby" and bergen.board.guard_reason is None
        finally:
            signal_file.write_text("")
        await until(lambda: files.may_pull())


async def test_a_frozen_database_neither_stops_the_agent_nor_looks_healthy(both: Clusters) -> None:
    async with agent(both, "bergen") as bergen:
        await until(lambda: len(bergen.board.recent) > 1)
        pids = _processes(both)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: bergen.board.database.role == "unknown", 20)
            began = time.monotonic()
            state = await asyncio.to_thread(get, "/v1/guard", agent=both.base / "agent-bergen/agent.sock")
            assert state["writable"] is False and time.monotonic() - began < 1
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):  # whoever was ending just then has ended
                    os.kill(pid, signal.SIGCONT)
        await until(lambda: bergen.board.database.role == "standby")


async def test_a_stopped_database_is_told_as_stopped_and_comes_back(both: Clusters) -> None:
    async with agent(both, "oslo"), agent(both, "bergen") as bergen:
        await until(lambda: bergen.board.recent[-1].seconds is not None)
        await asyncio.to_thread(both.bergen.control, "stop", "-m", "fast")
        await until(lambda: bergen.board.database.role == "stopped")
        await asyncio.sleep(2.5)
        lag = bergen.board.recent[-1].seconds
        assert lag is None or lag > 1
        await asyncio.to_thread(both.bergen.start)
        await until(lambda: bergen.board.database.role == "standby")


def _processes(both: Clusters) -> list[int]:
    first = int((both.bergen.data / "postmaster.pid").read_text().splitlines()[0])
    processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    children = [pid for pid in processes if _parent(pid) == first]
    return [first, *children]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError):
        return 0
