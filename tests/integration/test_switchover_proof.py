"""What a switchover rests on, against real clusters: the door, the clean stop, the proof, and a promotion under way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import psycopg
import pytest

from secondsite.database import door, equal, promote, shutdown
from secondsite.database.cluster import Cluster
from secondsite.database.controldata import read as read_control
from secondsite.database.equal import End
from secondsite.errors import FinalError, RetryableError
from tests.integration.agent_pair import Clusters, Throwaway, clusters, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="the owner's part needs root")


@pytest.fixture
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


async def end_of(cluster: Cluster) -> End:
    control = await read_control(cluster)
    return End(control.checkpoint_lsn, control.timeline, control.system_identifier)


async def test_a_standby_that_has_everything_is_proven_equal_and_one_that_waits_is_not(both: Clusters) -> None:
    both.oslo.sql("CREATE TABLE work (n int)")
    both.bergen.sql("SELECT pg_wal_replay_pause()")
    await until(lambda: both.bergen.sql("SELECT pg_get_wal_replay_pause_state()") == ("paused",))
    both.oslo.sql("INSERT INTO work SELECT generate_series(1, 1000)")
    both.oslo.control("stop", "-m", "fast")
    end = await end_of(both.oslo)
    assert (await shutdown.fast(both.oslo, seconds=1)).checkpoint_lsn == end.checkpoint
    with pytest.raises(RetryableError) as behind:
        await equal.prove(both.bergen, end, seconds=0.5)
    assert behind.value.slug == "behind"
    both.bergen.sql("SELECT pg_wal_replay_resume()")
    assert await equal.prove(both.bergen, end, seconds=10) > end.checkpoint
    assert await end_of(both.bergen) == end
    for other in (
        End(end.checkpoint - 8, end.timeline, end.system_identifier),
        End(end.checkpoint, end.timeline, "1"),
    ):
        with pytest.raises(FinalError) as unequal:
            await equal.prove(both.bergen, other, seconds=5)
        assert unequal.value.slug == "not-equal"


async def test_a_primary_that_was_cut_off_proves_nothing(both: Clusters) -> None:
    both.oslo.control("stop", "-m", "immediate")
    with pytest.raises(FinalError) as unproven:
        await shutdown.fast(both.oslo, seconds=1)
    assert unproven.value.slug == "not-shut-down"


async def test_a_promotion_that_somebody_asked_for_is_seen_and_waited_for(both: Clusters) -> None:
    assert not await promote.under_way(both.bergen, timeout_seconds=5)
    both.bergen.sql("SELECT pg_wal_replay_pause()")
    assert not await promote.under_way(both.bergen, timeout_seconds=5)
    assert both.bergen.sql("SELECT pg_is_wal_replay_paused()") == (True,), "a pause that a person made stays"
    both.bergen.sql("SELECT pg_promote(wait => false)")
    assert await promote.under_way(both.bergen, timeout_seconds=30)
    assert both.bergen.sql("SELECT pg_is_in_recovery()") == (False,)


class WithConfig(Throwaway):
    """Its pg_hba.conf is in the data folder."""

    @property
    def config(self) -> object:  # type: ignore[override]
        return self.data


async def test_the_door_shuts_out_everybody_but_replication_and_opens_again(both: Clusters) -> None:
    cluster = WithConfig(both.oslo.version, both.oslo.name, both.oslo.port, both.oslo.base)
    before = (cluster.data / "pg_hba.conf").read_bytes()
    cluster.sql("CREATE ROLE visitor LOGIN")

    def visit() -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(cluster.socket_directory), port=cluster.port, dbname="postgres", user="visitor", autocommit=True
        )

    inside = visit()
    door.lock(cluster)
    assert inside.execute("SELECT 1").fetchone() == (1,), "nothing counts before the server has read it"
    assert await door.shut(cluster) == 1
    with pytest.raises(psycopg.OperationalError):
        inside.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="rejects"):
        visit()
    assert door.is_shut(cluster)
    both.bergen.sql("SELECT 1")
    assert both.bergen.sql("SELECT status FROM pg_stat_wal_receiver") == ("streaming",)
    assert door.unlock(cluster)
    door.reload(cluster)
    for _ in range(100):
        try:
            visit().close()
            break
        except psycopg.OperationalError:
            await asyncio.sleep(0.05)
    else:
        pytest.fail("the door did not open again")
    assert (cluster.data / "pg_hba.conf").read_bytes() == before
    assert not door.unlock(cluster)
