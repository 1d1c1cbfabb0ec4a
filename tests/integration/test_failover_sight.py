"""What a failover sees of the standby's database: at this moment, whatever became of the agent's connection."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from secondsite.agent.database import LocalDatabase
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import RetryableError
from secondsite.recovery.failover.sight import Sight
from tests.integration.agent_pair import Clusters, clusters

KEPT = "FROM pg_stat_activity WHERE application_name = 'secondsite-agent'"


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


class Mute:
    """A connection that a loaded server has not answered in time."""

    async def look(self) -> DatabaseState:
        return DatabaseState(Role.UNKNOWN, reason="it does not answer")

    async def receiver_heard_at(self) -> float | None:
        raise RetryableError("it does not answer", slug="database-unreachable")


async def test_the_agents_connection_is_asked_and_a_new_one_where_it_has_gone(both: Clusters) -> None:
    database = LocalDatabase(both.bergen, "bergen")
    sight = Sight(both.bergen, database)
    try:
        assert (await sight.look()).role is Role.STANDBY
        heard = await sight.receiver_heard_at()
        assert heard is not None and abs(heard - time.time()) < 30
        assert both.bergen.sql(f"SELECT count(*), min(backend_start) {KEPT}")[0] == 1
        both.bergen.sql(f"SELECT pg_terminate_backend(pid, 5000) {KEPT}")
        assert await sight.receiver_heard_at() is not None
        assert (await sight.look()).role is Role.STANDBY
    finally:
        await database.close()


async def test_a_connection_that_tells_nothing_does_not_count_as_a_database_that_is_down(both: Clusters) -> None:
    sight = Sight(both.bergen, Mute())
    assert (await sight.look()).role is Role.STANDBY
    assert await sight.receiver_heard_at() is not None


async def test_a_standby_that_is_stopped_is_seen_as_stopped(both: Clusters) -> None:
    database = LocalDatabase(both.bergen, "bergen")
    try:
        assert (await database.look()).role is Role.STANDBY
        both.bergen.control("stop", "-m", "fast")
        assert (await Sight(both.bergen, database).look()).role is Role.STOPPED
        assert await Sight(both.bergen, database).receiver_heard_at() is None
    finally:
        await database.close()
        both.bergen.start()
