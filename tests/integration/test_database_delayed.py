"""A second standby that replays late, with real servers: what somebody destroys is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secondsite.clock import SystemClock
from secondsite.converge.resource import Change, converge
from secondsite.database.connect import local
from secondsite.database.delayed.observe import look
from secondsite.database.delayed.place import SLOT
from secondsite.database.delayed.standby import DelayedStandby, keep_slot
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.promote import promote
from secondsite.database.state import Role
from secondsite.errors import FinalError
from tests.integration.database_clusters import (
    VERSION,
    Detached,
    Pair,
    PgCtl,
    ThrowawayCluster,
    free_port,
    pair,
    specification,
)


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


@pytest.fixture
def late(hosts: Pair) -> Iterator[DelayedStandby]:
    """Beside bergen's cluster, an hour behind."""
    bergen = hosts.nodes["bergen"]
    assert isinstance(bergen.cluster, ThrowawayCluster)
    port = free_port()
    cluster = ThrowawayCluster(VERSION, "delayed", port, bergen.cluster.base)
    state = bergen.cluster.base / "state-delayed"
    node = Node(cluster, PgCtl(cluster), Detached(), Detached(), state=state)
    section = {"site": "bergen", "cluster": f"{VERSION}/delayed", "port": port, "delay": "1h"}
    hosts.spec = specification(hosts.spec.database.port, delayed=section)
    kept = hosts.spec.database.delayed
    assert kept is not None
    yield DelayedStandby(node, bergen, hosts.spec, "bergen", kept)
    asyncio.run(node.control.stop())


async def made(hosts: Pair, late: DelayedStandby) -> tuple[Change, ...]:
    return await converge([late], site="bergen", emit=hosts.events.append, clock=SystemClock())


async def until_received(late: DelayedStandby, position: str) -> None:
    async with asyncio.timeout(20):
        while True:
            with local(late.node.cluster) as connection:
                row = connection.execute("SELECT pg_last_wal_receive_lsn() >= %s::pg_lsn", (position,)).fetchone()
            if row == (True,):
                return
            await asyncio.sleep(0.05)


def written(node: Node, statement: str) -> str:
    with local(node.cluster) as connection:
        connection.execute(statement)
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return str(row[0])


def sooner(late: DelayedStandby, seconds: float) -> DelayedStandby:
    """The same with another delay."""
    return replace(late, delayed=late.delayed.model_copy(update={"delay": seconds}))


def has(node: Node, table: str) -> bool:
    with local(node.cluster) as connection:
        return connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)


async def test_what_was_dropped_everywhere_is_still_there_and_a_promotion_changes_nothing_about_that(
    hosts: Pair, late: DelayedStandby
) -> None:
    oslo, bergen = hosts.nodes["oslo"], hosts.nodes["bergen"]
    await hosts.primary()
    written(oslo, "CREATE TABLE orders AS SELECT generate_series(1, 1000) id")
    await hosts.standby()
    (change,) = await made(hosts, late)
    assert "copy the primary's cluster here" in change.summary
    assert await made(hosts, late) == (), "a second run changes nothing"
    dropped = written(oslo, "DROP TABLE orders")
    await until_received(late, dropped)
    assert not has(bergen, "orders") and has(late.node, "orders")
    state = look(late.node)
    assert (state.reason, state.receiving, state.in_recovery) == (None, True, True)
    assert state.waiting_bytes and state.waiting_bytes > 0
    assert await made(hosts, late) == (), "it runs, and waits"
    await oslo.control.stop()
    assert (await promote(bergen.cluster, timeout_seconds=20)).timeline == 2
    written(bergen, "CREATE TABLE later (id int)")
    assert has(late.node, "orders") and not has(late.node, "later")
    hurried = sooner(late, 0.0)
    await made(hosts, hurried)
    async with asyncio.timeout(30):  # nothing is held back now: it goes through the promotion to the newest row
        while not has(late.node, "later"):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.1)
    assert not has(late.node, "orders")
    assert observe(late.node.cluster).timeline == 2


async def test_it_can_be_read_as_of_a_moment_just_before_the_mistake(hosts: Pair, late: DelayedStandby) -> None:
    """As docs/how-to/delayed.md says."""
    oslo = hosts.nodes["oslo"]
    await hosts.primary()
    written(oslo, "CREATE TABLE orders (id int)")
    await hosts.standby()
    await made(hosts, late)
    written(oslo, "INSERT INTO orders VALUES (1)")
    with local(oslo.cluster) as connection:
        row = connection.execute("SELECT clock_timestamp()::text").fetchone()
        assert row is not None
    written(oslo, "CREATE TABLE heartbeat ()")  # the first commit after the moment: replay stops before it
    await until_received(late, written(oslo, "DROP TABLE orders"))
    config = late.node.cluster.config
    (config / "rescue.conf").write_text(
        f"recovery_target_time = '{row[0]}'\nrecovery_target_action = 'pause'\nrecovery_min_apply_delay = 0\n"
    )
    with (config / "postgresql.conf").open("a") as main:
        main.write("include 'rescue.conf'\n")
    await late.node.control.restart()
    async with asyncio.timeout(30):
        while not look(late.node).paused:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.1)
    with local(late.node.cluster) as connection:
        assert connection.execute("SELECT id FROM orders").fetchall() == [(1,)]
    (change,) = await made(hosts, late)
    assert "rescue.conf" in change.diff
    assert not look(late.node).paused


async def test_its_configuration_and_its_slot_are_kept(hosts: Pair, late: DelayedStandby) -> None:
    bergen = hosts.nodes["bergen"]
    await hosts.primary()
    await hosts.standby()
    await made(hosts, late)
    shorter = DelayedStandby(late.node, bergen, hosts.spec, "bergen", late.delayed.model_copy(update={"delay": 60.0}))
    (change,) = await made(hosts, shorter)
    assert change.summary == "update its configuration" and "60s" in change.diff
    with local(late.node.cluster) as connection:
        assert connection.execute("SHOW recovery_min_apply_delay").fetchone() == ("1min",)
    await late.node.control.stop()
    with local(bergen.cluster) as connection:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))
    keep_slot(bergen)
    (change,) = await made(hosts, shorter)
    assert "start the standby" in change.summary
    assert look(late.node).in_recovery and look(late.node).reason is None


async def test_where_its_slot_was_given_up_it_is_copied_again_and_what_it_had_is_kept(
    hosts: Pair, late: DelayedStandby
) -> None:
    oslo, bergen = hosts.nodes["oslo"], hosts.nodes["bergen"]
    await hosts.primary()
    written(oslo, "CREATE TABLE orders AS SELECT generate_series(1, 1000) id")
    await hosts.standby()
    await made(hosts, late)
    await late.node.control.stop()
    with local(bergen.cluster) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        connection.execute("ALTER SYSTEM SET wal_keep_size = '0'")
        connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(60):
        while _slot_status(bergen) != "lost":
            written(oslo, "INSERT INTO orders SELECT generate_series(1, 200000)")
            written(oslo, "CHECKPOINT")
            await asyncio.to_thread(written_restartpoint, bergen)
    (change,) = await made(hosts, late)
    assert "the WAL that it needs is gone" in change.summary
    assert look(late.node).reason is None
    (aside,) = late.node.cluster.data.parent.glob("delayed.aside-*")
    assert (aside / "PG_VERSION").exists()
    assert _slot_status(bergen) != "lost"


def written_restartpoint(node: Node) -> None:
    with local(node.cluster) as connection:
        connection.execute("CHECKPOINT")


def _slot_status(node: Node) -> str | None:
    with local(node.cluster) as connection:
        row = connection.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (SLOT,)).fetchone()
        return str(row[0]) if row else None


async def test_somebody_elses_cluster_and_shared_folders_are_refused(
    hosts: Pair, late: DelayedStandby, tmp_path: Path
) -> None:
    await hosts.primary()
    await hosts.standby()
    config = late.node.cluster.config
    config.mkdir(parents=True)
    (config / "postgresql.conf").write_text("port = 5499\n")
    with pytest.raises(FinalError) as refused:
        await late.plan()
    assert refused.value.slug == "delayed-not-ours"
    assert (config / "postgresql.conf").read_text() == "port = 5499\n"


async def test_before_its_source_runs_there_is_nothing_to_copy_and_plan_says_so(
    hosts: Pair, late: DelayedStandby
) -> None:
    change = await late.plan()
    assert change is not None and "as soon as this site's own cluster runs" in change.summary
    assert observe(late.node.cluster).role is Role.ABSENT
