"""A second standby that replays late, with real servers: what somebody destroys is still there."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secondsite.clock import SystemClock
from secondsite.converge.resource import Change, converge
from secondsite.database import fence, shutdown
from secondsite.database.connect import local
from secondsite.database.controldata import read
from secondsite.database.delayed.observe import look
from secondsite.database.delayed.place import SLOT
from secondsite.database.delayed.release import RELEASE_SECONDS, release
from secondsite.database.delayed.standby import DelayedStandby, keep_slot
from secondsite.database.node import Node, owner
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
    node = Node(cluster, PgCtl(cluster, "log-delayed"), Detached(), Detached(), state=state)
    section = {"site": "bergen", "cluster": f"{VERSION}/delayed", "port": port, "delay": "1h"}
    hosts.spec = specification(hosts.spec.database.port, delayed=section)
    kept = hosts.spec.database.delayed
    assert kept is not None
    yield DelayedStandby(node, bergen, hosts.spec, "bergen", kept, log=cluster.base / "log-delayed")
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


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.1)


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
    await until(lambda: not has(bergen, "orders"))
    assert has(late.node, "orders")
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
    assert await made(hosts, late) == (), "nobody restarts it while somebody reads in it"
    assert look(late.node).paused
    await late.node.control.stop()
    (change,) = await made(hosts, late)
    assert "rescue.conf" in change.diff
    assert not look(late.node).paused


async def test_a_paused_one_is_left_alone_whatever_differs(hosts: Pair, late: DelayedStandby) -> None:
    await hosts.primary()
    await hosts.standby()
    await made(hosts, late)
    with local(late.node.cluster) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
    await until(lambda: look(late.node).paused)
    assert await made(hosts, sooner(late, 60.0)) == ()
    await sooner(late, 60.0).apply(Change("as planned before the pause"), hosts.events.append)
    assert look(late.node).paused
    with local(late.node.cluster) as connection:
        connection.execute("SELECT pg_wal_replay_resume()")
    (change,) = await made(hosts, sooner(late, 60.0))
    assert "60s" in change.diff


async def test_its_configuration_and_its_slot_are_kept(hosts: Pair, late: DelayedStandby) -> None:
    bergen = hosts.nodes["bergen"]
    await hosts.primary()
    await hosts.standby()
    await made(hosts, late)
    shorter = sooner(late, 60.0)
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
    keep_little(bergen)
    await forgotten(oslo, bergen, lambda: _slot_status(bergen) == "lost")
    (change,) = await made(hosts, late)
    assert "the WAL that it needs is gone" in change.summary
    assert look(late.node).reason is None
    (aside,) = late.node.cluster.data.parent.glob("delayed.aside-*")
    assert (aside / "PG_VERSION").exists()
    assert _slot_status(bergen) != "lost"


async def test_where_the_wal_before_its_new_slot_is_gone_it_is_copied_again_with_the_reason(
    hosts: Pair, late: DelayedStandby
) -> None:
    oslo, bergen = hosts.nodes["oslo"], hosts.nodes["bergen"]
    await hosts.primary()
    written(oslo, "CREATE TABLE orders (id int)")
    await hosts.standby()
    await made(hosts, late)
    await late.node.control.stop()
    with local(bergen.cluster) as connection:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))
    keep_little(bergen)
    before = oldest(bergen)
    await forgotten(oslo, bergen, lambda: oldest(bergen) > before + 2)
    keep_slot(bergen)
    assert look(late.node, late.log).stuck is None, "it is stopped: whether it can go on is not known"
    await late.node.control.start()
    await until(lambda: "has already been removed" in (look(late.node, late.log).stuck or ""))
    (change,) = await made(hosts, late)
    assert change.summary.startswith("copy it again: could not") and "already been removed" in change.summary
    assert aside(late) and look(late.node, late.log).stuck is None


@pytest.mark.parametrize("restarted", [False, True], ids=["as it runs", "as it starts no more"])
async def test_where_history_went_another_way_it_is_copied_again_and_what_it_had_is_kept(
    hosts: Pair, late: DelayedStandby, restarted: bool
) -> None:
    """It has replayed what the new primary never had."""
    oslo, bergen = hosts.nodes["oslo"], hosts.nodes["bergen"]
    await hosts.primary()
    await hosts.standby()
    await made(hosts, prompt := sooner(late, 0.0))
    await bergen.control.stop()
    data = bergen.cluster.data
    earlier = data.with_name("earlier")
    shutil.copytree(data, earlier)
    own(earlier)
    await bergen.control.start()
    written(oslo, "CREATE TABLE only_old (id int)")
    await until(lambda: has(late.node, "only_old"))
    await bergen.control.stop()
    await oslo.control.stop()
    data.rename(data.with_name("later"))
    earlier.rename(data)
    await bergen.control.start()
    assert (await promote(bergen.cluster, timeout_seconds=20)).timeline == 2
    written(bergen, "CREATE TABLE only_new (id int)")
    keep_slot(bergen)
    await until(lambda: look(late.node, late.log).stuck is not None)
    if restarted:
        await late.node.control.restart()
        assert observe(late.node.cluster).role is Role.STOPPED
    (change,) = await made(hosts, prompt)
    assert change.summary.startswith("copy it again: ")
    told = ["requested timeline 2"] if restarted else ["forked off", "this server's history"]
    assert any(words in change.summary for words in told)
    assert aside(late)
    await until(lambda: has(late.node, "only_new"))
    assert not has(late.node, "only_old")


async def test_a_copy_of_another_database_is_refused_and_left_as_it_is(hosts: Pair, late: DelayedStandby) -> None:
    await hosts.primary()
    await hosts.standby()
    await made(hosts, late)
    await late.node.control.stop()
    data = late.node.cluster.data
    shutil.rmtree(data)
    argv = [late.node.cluster.program("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(argv, check=True, capture_output=True, user=owner(), cwd="/")  # noqa: ASYNC221
    (data / "standby.signal").touch()
    with pytest.raises(FinalError) as refused:
        await late.plan()
    assert refused.value.slug == "delayed-other-database"
    assert (data / "standby.signal").exists() and not aside(late)


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: Pair) -> None:
    """Where no systemd runs: its order to stop bergen's cluster, as a unit carries it out."""
    cluster = hosts.nodes["bergen"].cluster
    stops = f"exec su postgres -s /bin/sh -c '{cluster.program('pg_ctl')} stop -D {cluster.data} -m fast -t 20'"
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$2" = --no-block ] || {stops}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="the owner's part needs root")
@pytest.mark.usefixtures("systemctl")
@pytest.mark.parametrize("stops", ["switchover", "fence"])
async def test_one_that_does_not_keep_up_holds_up_no_stop(hosts: Pair, late: DelayedStandby, stops: str) -> None:
    oslo, bergen = hosts.nodes["oslo"], hosts.nodes["bergen"]
    await hosts.primary()
    await hosts.standby()
    await made(hosts, sooner(late, 0.0))
    await oslo.control.stop()
    await promote(bergen.cluster, timeout_seconds=20)
    written(bergen, "CREATE TABLE later (id int)")
    await until(lambda: has(late.node, "later") and look(late.node).receiving)
    with local(late.node.cluster) as connection:
        row = connection.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone()
    assert row is not None
    with local(bergen.cluster) as connection:  # as one that answers now and then: it is never given up
        connection.execute("ALTER SYSTEM SET wal_sender_timeout = 0")
        connection.execute("SELECT pg_reload_conf()")
    os.kill(row[0], signal.SIGSTOP)  # it takes nothing any more
    try:
        written(bergen, "CREATE TABLE latest (id int)")
        began = time.monotonic()
        if stops == "switchover":
            await shutdown.fast(bergen.cluster, seconds=15)
        else:
            await fence.stop(bergen.cluster)
        assert time.monotonic() - began < 15, "a fast stop was enough"
    finally:
        os.kill(row[0], signal.SIGCONT)
    assert (await read(bergen.cluster)).state == "shut down"


async def test_a_server_that_hangs_keeps_nobody_waiting_for_that(hosts: Pair, late: DelayedStandby) -> None:
    bergen = hosts.nodes["bergen"]
    await hosts.primary()
    await hosts.standby()
    assert not await release(bergen.cluster), "it keeps no such slot"
    await made(hosts, late)
    assert await release(bergen.cluster)
    postmaster = int((bergen.cluster.data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert not await release(bergen.cluster)
        assert time.monotonic() - began < 4 * RELEASE_SECONDS
    finally:
        os.kill(postmaster, signal.SIGCONT)


async def test_after_a_start_it_waits_for_what_it_has_and_that_is_known(hosts: Pair, late: DelayedStandby) -> None:
    oslo = hosts.nodes["oslo"]
    await hosts.primary()
    await hosts.standby()
    await made(hosts, late)
    await until_received(late, written(oslo, "CREATE TABLE orders (id int)"))
    await late.node.control.restart()
    state = look(late.node)
    assert (state.receiving, state.waiting_bytes) == (False, None)
    assert state.started_at is not None and abs(state.started_at - time.time()) < 60
    assert state.waits(3600.0, time.time()) and not state.waits(0.0, time.time())


def keep_little(node: Node) -> None:
    with local(node.cluster) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        connection.execute("ALTER SYSTEM SET wal_keep_size = '0'")
        connection.execute("SELECT pg_reload_conf()")


async def forgotten(source: Node, standby: Node, enough: Callable[[], bool]) -> None:
    """WAL is begun anew, file after file, until the standby has removed enough of it."""
    async with asyncio.timeout(300):
        while not enough():
            for statement in ("SELECT pg_logical_emit_message(true, '', '')", "SELECT pg_switch_wal()", "CHECKPOINT"):
                written(source, statement)
            with local(standby.cluster) as connection:
                await asyncio.to_thread(connection.execute, "CHECKPOINT")
            await asyncio.sleep(0.05)


def oldest(node: Node) -> int:
    """The number of the oldest WAL file that is still there."""
    names = (path.name for path in (node.cluster.data / "pg_wal").iterdir())
    return min(int(name[8:16], 16) * 256 + int(name[16:], 16) for name in names if len(name) == 24)


def aside(late: DelayedStandby) -> bool:
    """Whether what it had was kept."""
    return any((path / "PG_VERSION").exists() for path in late.node.cluster.data.parent.glob("delayed.aside-*"))


def own(folder: Path) -> None:
    """Give it to the clusters' owner."""
    name = owner()
    if name is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, name, name)


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
