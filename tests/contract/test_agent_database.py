"""What a primary owes its agent: PostgreSQL, and the one that unit tests drive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from secondsite.agent.database import Database, LocalDatabase
from secondsite.database.commit_wait import Act, names, waits
from secondsite.database.state import DatabaseState
from tests.fakes.primary import FakePrimary
from tests.integration.agent_pair import Clusters, clusters

NAME = "bergen"


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        line = f"primary_conninfo = 'host={pair.oslo.socket_directory} port={pair.oslo.port} user=postgres"
        with (pair.bergen.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"{line} application_name={NAME}'\n")
        pair.bergen.control("reload")
        yield pair


@pytest.fixture(params=["real", "fake"])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    made: Database
    made = LocalDatabase(request.getfixturevalue("both").oslo, "oslo") if request.param == "real" else FakePrimary()
    yield made
    await made.change_waiting(Act.REMOVE, NAME)
    await made.close()


def named(state: DatabaseState) -> str | None:
    return dict(state.settings).get("synchronous_standby_names")


async def seen(database: Database, wanted: str, sync_state: str) -> DatabaseState:
    """The first look that shows both: a reload takes a moment, and the sender of WAL takes it a moment later."""
    async with asyncio.timeout(20):
        while True:
            state = await database.look()
            shown = [(one.state, one.sync_state) for one in state.followers if one.name == NAME]
            if named(state) == wanted and shown == [("streaming", sync_state)]:
                return state
            assert not (waits(state, NAME) and named(state) != names(NAME)), "it says that it waits, and names nobody"
            await asyncio.sleep(0.05)


async def test_a_primary_that_nobody_has_told_to_wait_waits_for_nobody_and_names_its_follower(
    database: Database,
) -> None:
    state = await seen(database, "", "async")
    assert state.writable and not waits(state, NAME)


async def test_told_to_wait_it_names_the_peer_and_its_follower_is_synchronous(database: Database) -> None:
    await database.look()
    await database.change_waiting(Act.WAIT, NAME)
    assert waits(await seen(database, names(NAME), "sync"), NAME)


@pytest.mark.parametrize("act", [Act.STOP, Act.REMOVE])
async def test_told_to_stop_it_waits_for_nobody_and_still_streams(database: Database, act: Act) -> None:
    await database.look()
    await database.change_waiting(Act.WAIT, NAME)
    await seen(database, names(NAME), "sync")
    await database.change_waiting(act, NAME)
    assert not waits(await seen(database, "", "async"), NAME)


async def test_told_twice_it_is_as_told_once(database: Database) -> None:
    await database.look()
    for act, wanted, state in ((Act.WAIT, names(NAME), "sync"), (Act.STOP, "", "async")):
        for _ in range(2):
            await database.change_waiting(act, NAME)
        await seen(database, wanted, state)


async def test_a_heartbeat_is_the_moment_that_was_written(database: Database) -> None:
    state = await database.look()
    first = await database.beat(state.timeline or 1)
    second = await database.beat(state.timeline or 1)
    assert first is not None and second is not None and second >= first
