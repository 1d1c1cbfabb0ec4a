"""A standby is made from a primary, with real servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from secondsite.database import basebackup
from secondsite.database.connect import local
from secondsite.database.job import JobState
from secondsite.database.observe import observe
from secondsite.database.situation import Act
from secondsite.database.state import Role, Streaming
from secondsite.errors import FinalError
from secondsite.events import Note, Progress
from tests.integration.database_clusters import ADDRESSES, Pair, create, pair


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


async def test_an_empty_host_becomes_a_streaming_standby_and_a_second_run_changes_nothing(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    state = observe(hosts.nodes["bergen"].cluster)
    assert (state.role, state.streaming) == (Role.STANDBY, Streaming.STREAMING)
    assert any(isinstance(event, Progress) and event.done == event.total for event in hosts.events)
    assert await hosts.primary() == ()
    assert await hosts.standby() == ()


async def test_plan_tells_everything_and_touches_nothing(hosts: Pair) -> None:
    changes = await hosts.primary(dry_run=True)
    assert any(change.disrupts for change in changes), "wal_log_hints needs a restart, and the plan says so"
    oslo = hosts.nodes["oslo"]
    assert not oslo.settings_file.exists() and not oslo.passfile.exists()
    await hosts.standby(dry_run=True)
    assert not hosts.nodes["bergen"].cluster.config.exists()


async def test_a_cluster_that_somebody_uses_is_refused_untouched_and_moved_aside_on_demand(hosts: Pair) -> None:
    await hosts.primary()
    bergen = hosts.nodes["bergen"]
    create(bergen)
    await bergen.control.start()
    with local(bergen.cluster) as connection:
        connection.execute("CREATE TABLE precious (id int)")
        connection.execute("CHECKPOINT")
    with pytest.raises(FinalError) as refused:
        await hosts.standby()
    assert refused.value.slug == "foreign-data-directory"
    assert "another database" in refused.value.message
    assert not bergen.settings_file.exists()
    await hosts.standby(replace=True)
    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    (aside,) = bergen.cluster.data.parent.glob("main.aside-*")
    assert (aside / "PG_VERSION").exists()


async def test_a_cluster_as_a_package_leaves_it_needs_no_permission(hosts: Pair) -> None:
    with (hosts.nodes["oslo"].cluster.config / "postgresql.conf").open("a") as own:
        own.write("work_mem = 9MB\n")
    await hosts.primary()
    bergen = hosts.nodes["bergen"]
    create(bergen)
    await bergen.control.start()
    await hosts.standby()
    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    assert len(list(bergen.cluster.data.parent.glob("main.aside-*"))) == 1
    assert "work_mem = 9MB" in (bergen.cluster.config / "postgresql.conf").read_text(), "the primary's settings, too"
    assert len(list((bergen.state.parent / "aside").iterdir())) == 1


async def test_a_primary_that_does_not_answer_at_first_is_asked_again(hosts: Pair) -> None:
    await hosts.primary()
    oslo, job = hosts.nodes["oslo"], hosts.jobs["bergen"]
    told = await hosts.facts("bergen")
    await oslo.control.stop()
    seeding = asyncio.create_task(hosts.standby(facts=told))
    await until(lambda: any(isinstance(event, Note) and "asked again" in event.text for event in hosts.events))
    await oslo.control.start()
    await seeding
    assert observe(hosts.nodes["bergen"].cluster).streaming is Streaming.STREAMING
    assert len(job.started) > 1


async def test_a_base_backup_that_was_killed_is_begun_again_and_one_that_runs_is_joined(hosts: Pair) -> None:
    await hosts.primary()
    await fill(hosts)
    bergen, job = hosts.nodes["bergen"], hosts.jobs["bergen"]
    seeding = asyncio.create_task(hosts.standby())
    await until(lambda: basebackup.progress(basebackup.tail(basebackup.log_file(bergen))) is not None)
    job.freeze()  # or it may be at its end before anybody joins it
    seeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await seeding
    assert await job.state() is JobState.RUNNING, "a caller that goes away does not end it"
    seen = len(hosts.events)
    joined = asyncio.create_task(hosts.standby())
    await until(lambda: any(isinstance(event, Progress) for event in hosts.events[seen:]))
    await job.stop()
    with pytest.raises(FinalError) as failed:
        await joined
    assert failed.value.slug == "seed-failed"
    await hosts.standby()
    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    assert len(job.started) == 2
    assert not basebackup.side_folder(bergen).exists()


async def test_a_finished_copy_is_put_in_place_without_copying_again(hosts: Pair) -> None:
    await hosts.primary()
    bergen, job = hosts.nodes["bergen"], hosts.jobs["bergen"]
    seeding = asyncio.create_task(hosts.standby())
    await until(lambda: basebackup.is_complete(bergen))
    seeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await seeding
    await bergen.control.stop()
    await hosts.standby()
    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    assert len(job.started) == 1


async def test_a_stopped_standby_is_started_and_one_that_was_cut_off_follows_again(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    bergen = hosts.nodes["bergen"]
    await bergen.control.stop()
    assert [change.summary for change in await hosts.standby()] == [Act.START]
    with local(bergen.cluster) as connection:
        connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        connection.execute("SELECT pg_reload_conf()")
    await until(lambda: observe(bergen.cluster).streaming is Streaming.RECEIVER_DOWN)
    assert [change.summary for change in await hosts.standby()] == [Act.FOLLOW]
    assert len(hosts.jobs["bergen"].started) == 1


async def test_a_standby_whose_wal_is_gone_is_seeded_again_and_its_old_data_kept(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    bergen, oslo = hosts.nodes["bergen"], hosts.nodes["oslo"]
    await bergen.control.stop()
    with local(oslo.cluster) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        connection.execute("ALTER SYSTEM SET wal_keep_size = 0")
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(4):
            connection.execute(
                "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000)) FROM generate_series(1,9000)"
            )
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("SELECT pg_reload_conf()")
    assert any("its WAL is lost" in change.summary for change in await hosts.primary())
    assert Act.RESEED in [change.summary for change in await hosts.standby()]
    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    assert len(list(bergen.cluster.data.parent.glob("main.aside-*"))) == 1


async def test_a_former_primary_is_not_taken_for_a_standby(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    oslo, bergen = hosts.nodes["oslo"], hosts.nodes["bergen"]
    await oslo.control.stop()
    with local(bergen.cluster) as connection:
        connection.execute("SELECT pg_promote(true, 60)")
    with pytest.raises(FinalError) as refused:
        await hosts.standby("oslo")
    assert refused.value.slug == "foreign-data-directory"
    assert "former primary" in refused.value.message
    assert "--replace-standby" in str(refused.value.hint)


async def test_what_runs_elsewhere_on_the_port_is_told_before_anything_is_copied(hosts: Pair) -> None:
    await hosts.primary()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((ADDRESSES["bergen"], hosts.spec.database.port))
        other.listen()
        with pytest.raises(FinalError) as refused:
            await hosts.standby()
    assert refused.value.slug == "port-taken"
    assert not hosts.jobs["bergen"].started


async def fill(hosts: Pair) -> None:
    """Enough data for a base backup to last some seconds."""
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 300000)")


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something can be observed."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.002)
