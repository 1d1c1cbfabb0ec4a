"""How far a promoted cluster knows that it has come, before its first checkpoint."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from secondsite.database.connect import local
from secondsite.database.controldata import read
from secondsite.database.observe import observe
from secondsite.database.promote import promote
from secondsite.database.state import Role
from tests.integration.agent_pair import until
from tests.integration.database_clusters import Pair, pair


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


# A checkpoint that is not urgent sleeps 100 ms behind each page (checkpointer.c, CheckpointWriteDelay).
ENOUGH_PAGES = 500
REPLAYED_SECONDS = 60


async def all_replayed(hosts: Pair) -> None:
    """What oslo has written is in bergen's memory, and little of it on bergen's disk: its checkpoint takes a minute."""
    with local(hosts.nodes["oslo"].cluster) as connection:
        written = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    with local(hosts.nodes["bergen"].cluster) as connection:
        reached = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        await until(lambda: connection.execute(reached, written).fetchone() == (True,), REPLAYED_SECONDS)
        dirty = connection.execute("SELECT count(*) FROM pg_buffercache WHERE isdirty").fetchone()
    assert dirty is not None and dirty[0] > ENOUGH_PAGES, "the checkpoint of a promotion would be fast"


async def test_a_promoted_cluster_that_dies_before_its_first_checkpoint_knows_its_generation(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    bergen = hosts.nodes["bergen"]
    with local(bergen.cluster) as connection:  # the checkpoint that a promotion asks for takes its time
        connection.execute("ALTER SYSTEM SET checkpoint_timeout = '1d'")
        connection.execute("ALTER SYSTEM SET bgwriter_lru_maxpages = 0")
        connection.execute("SELECT pg_reload_conf()")
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute("CREATE EXTENSION pg_buffercache")
        connection.execute("CREATE TABLE dirty AS SELECT repeat('x', 500) FROM generate_series(1, 20000)")
    await all_replayed(hosts)
    promoted = await promote(bergen.cluster, timeout_seconds=20)
    postmaster = int((bergen.cluster.data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    control = await read(bergen.cluster)
    assert control.timeline == 1, "or this shows nothing: the checkpoint was faster"
    assert promoted.timeline == control.generation == 2
    assert (await read(hosts.nodes["oslo"].cluster)).generation == 1
    async with asyncio.timeout(60):  # its children end a moment later than itself, and nothing starts beside them
        while observe(bergen.cluster).role is not Role.PRIMARY:
            await bergen.control.start()
            await asyncio.sleep(0.1)
    with local(bergen.cluster) as connection:
        connection.execute("CHECKPOINT")
    control = await read(bergen.cluster)
    assert control.timeline == control.generation == 2
