"""A server that is frozen (SIGSTOP stands for a disk that does not answer): every step ends, nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from secondsite.database import door, equal, movable, promote
from secondsite.database.bounded import Bounded, apart
from secondsite.database.cluster import Cluster
from secondsite.database.connect import elsewhere, in_thread, local
from secondsite.database.observe import observe
from secondsite.database.state import Role
from secondsite.errors import RetryableError, UnknownOutcomeError
from secondsite.recovery.failover.sight import Sight
from tests.integration.agent_pair import Clusters, clusters

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="the owner's part needs root")
PATIENCE = 1.0
HELD = 0.5  # a wait would hold the event loop for PATIENCE at least, a busy machine for a part of this


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bounded, "patience", PATIENCE)


def family(cluster: Cluster) -> list[int]:
    """The postmaster and all it has started."""
    postmaster = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


@asynccontextmanager
async def frozen(pids: list[int]) -> AsyncIterator[None]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        thaw(pids)


def thaw(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it was on its way out when it was frozen
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def nobody_waits() -> AsyncIterator[None]:
    """The event loop goes on ticking."""
    held = 0.0

    async def tick() -> None:
        nonlocal held
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            held = max(held, time.monotonic() - began - 0.01)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        await asyncio.sleep(0.05)  # or a loop that was held until now would not be noticed
        ticking.cancel()
    assert held < HELD, f"the event loop stood still for {held:.2f} s"


async def drain(cluster: Cluster) -> object:
    return await promote.drain(cluster, patience_seconds=60, progress=lambda *_: None, receiver_gone=True)


STEPS: dict[str, Callable[[Cluster], Awaitable[object]]] = {
    "drain": drain,
    "replayed_to": lambda cluster: equal.replayed_to(cluster, 2**60, seconds=60),
    "prove": lambda cluster: equal.prove(cluster, equal.End(2**60, 1, "1"), seconds=60),
    "under_way": lambda cluster: promote.under_way(cluster, timeout_seconds=60),
    "promote": lambda cluster: promote.promote(cluster, timeout_seconds=60),
    "checkpoint": promote.checkpoint,
    "shut": door.shut,
    "look": lambda cluster: apart(promote.look, cluster),
    "movable": lambda cluster: apart(movable.look, cluster, "oslo"),
    "prove_writable": lambda cluster: apart(promote.prove_writable, cluster, "bergen", 2),
}


@pytest.mark.parametrize("step", STEPS)
async def test_beside_a_server_that_does_not_let_in_every_step_ends_and_nobody_waits(both: Clusters, step: str) -> None:
    began = time.monotonic()
    async with frozen(family(both.bergen)), nobody_waits():
        with pytest.raises(RetryableError) as silent:
            await STEPS[step](both.bergen)
    assert silent.value.slug == "database-unreachable"
    assert time.monotonic() - began < 5, "the time of a connection"


@pytest.mark.parametrize("step", ["drain", "replayed_to"])
async def test_a_step_whose_session_freezes_in_its_middle_ends_and_nobody_waits(both: Clusters, step: str) -> None:
    both.bergen.sql("SELECT pg_wal_replay_pause()")
    under_way = asyncio.ensure_future(STEPS[step](both.bergen))
    await asyncio.sleep(0.3)
    assert not under_way.done()
    began = time.monotonic()
    async with frozen(family(both.bergen)), nobody_waits():
        with pytest.raises(RetryableError) as silent:
            await under_way
    both.bergen.sql("SELECT pg_wal_replay_resume()")
    assert silent.value.slug == "database-unreachable" and "frozen" in silent.value.message
    assert PATIENCE / 2 < time.monotonic() - began < PATIENCE + 1


async def test_what_is_not_seen_of_a_promotion_is_unknown_and_not_undone(both: Clusters) -> None:
    """Frozen immediately before pg_promote: the request is in the server's hands."""
    stopped: list[int] = []

    def freeze() -> None:
        stopped[:] = family(both.bergen)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    try:
        async with nobody_waits():
            with pytest.raises(UnknownOutcomeError) as unseen:
                await promote.promote(both.bergen, timeout_seconds=60, last_word=freeze)
    finally:
        thaw(stopped)
    assert unseen.value.slug == "promotion-unseen"


async def test_a_step_that_is_cancelled_lets_go_of_a_frozen_server_at_once(
    both: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bounded, "patience", 60.0)
    async with elsewhere(both.oslo) as connection:
        pid = connection.info.backend_pid
        began = time.monotonic()
        async with frozen([pid]), nobody_waits():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await in_thread(connection, "CHECKPOINT")
        assert time.monotonic() - began < 15
    assert connection.closed


async def test_where_a_server_is_frozen_it_is_observed_as_unknown_and_no_statement_lasts(both: Clusters) -> None:
    began = time.monotonic()
    with pytest.raises(RetryableError, match="frozen"), local(both.oslo) as connection:
        async with frozen([connection.info.backend_pid]):
            connection.execute("SELECT 1")
    assert time.monotonic() - began < PATIENCE + 1
    async with frozen(family(both.oslo)), nobody_waits():
        assert (await apart(observe, both.oslo)).role is Role.UNKNOWN
        assert (await Sight(both.oslo).look()).role is Role.UNKNOWN
        assert await Sight(both.oslo).receiver_heard_at() is None
