"""Mode sync on two real clusters: commits wait, stop waiting, hang and go on, as the file says."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

from secondsite.agent.board import Board
from secondsite.agent.commits import Commits
from secondsite.agent.database import LocalDatabase
from secondsite.agent.ports import Places
from secondsite.cli.bootstrap.commits import as_wanted
from secondsite.clock import SystemClock
from secondsite.database import promote
from secondsite.database.commit_wait import LESSER, Act, names, waits
from secondsite.database.connect import local
from secondsite.database.observe import observe
from secondsite.database.state import DatabaseState
from tests.integration.database_clusters import Pair, pair, specification

SET = "ALTER SYSTEM SET synchronous_standby_names = '{}'"
RELOAD = "SELECT pg_reload_conf()"
BERGEN = names("bergen")


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


class Oslo:
    """The agent's part at the primary, each half second: look, beat, keep commits waiting as the file says."""

    def __init__(self, hosts: Pair, folder: Path) -> None:
        self.database = LocalDatabase(hosts.nodes["oslo"].cluster, "oslo")
        self.board = Board("oslo", "bergen", "1", "h")
        self.beats = 0
        places = Places(fenced=folder / "fenced", uncovered=folder / "uncovered")
        self.commits = Commits(hosts.spec, self.board, places, self.change, hosts.events.append, SystemClock())

    async def change(self, act: Act) -> bool:
        await self.database.change_waiting(act, "bergen")
        return True

    async def live(self) -> None:
        while True:
            self.board.database = await self.database.look()
            if self.board.database.writable and await self.database.beat(1):
                self.beats += 1
            await self.commits.second()
            await asyncio.sleep(0.5)

    @property
    def names(self) -> str:
        return dict(self.board.database.settings).get("synchronous_standby_names", "?")

    @property
    def covered(self) -> bool:
        return self.board.commits is not None and self.board.commits.covered


@asynccontextmanager
async def agent(hosts: Pair, folder: Path) -> AsyncIterator[Oslo]:
    oslo = Oslo(hosts, folder)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(oslo.live())
        try:
            yield oslo
        finally:
            task.cancel()
    await oslo.database.close()


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)


@contextmanager
def frozen(hosts: Pair, site: str) -> Iterator[None]:
    """A host that has stopped between two instructions: its connections stay, and nothing comes from it."""
    first = int((hosts.nodes[site].cluster.data / "postmaster.pid").read_text().splitlines()[0])
    pids = [first, *_children(first)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _parent(pid) == parent]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError):
        return 0


async def buy(hosts: Pair, site: str = "oslo") -> int:
    """Commit a row as a customer does; its number. Cancelled, it ends even where the commit hangs."""
    cluster = hosts.nodes[site].cluster
    async with await psycopg.AsyncConnection.connect(
        host=str(cluster.socket_directory), port=cluster.port, dbname="postgres", user="postgres", autocommit=True
    ) as connection:
        cursor = await connection.execute("INSERT INTO orders DEFAULT VALUES RETURNING number")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def arrived(hosts: Pair) -> int:
    """The last row that bergen has on its disk, replayed to be seen."""
    with local(hosts.nodes["bergen"].cluster) as connection:
        row = connection.execute("SELECT coalesce(max(number), 0) FROM orders").fetchone()
    assert row is not None
    return int(row[0])


async def streaming(hosts: Pair, **rules: str) -> None:
    hosts.spec = specification(hosts.spec.database.port, **({"mode": "sync", "degrade_after": "3s"} | rules))
    await hosts.primary()
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute("CREATE TABLE orders (number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY)")
    await hosts.standby()


def look(hosts: Pair, site: str = "oslo") -> DatabaseState:
    return observe(hosts.nodes[site].cluster)


async def test_commits_wait_by_themselves_stop_for_a_lost_standby_and_wait_again(hosts: Pair, tmp_path: Path) -> None:
    await streaming(hosts)
    assert not waits(look(hosts), "bergen")
    async with agent(hosts, tmp_path) as oslo:
        await until(lambda: oslo.covered)
        assert waits(look(hosts), "bergen") and as_wanted(look(hosts), hosts.spec, "oslo")[0]
        assert await hosts.primary() == (), "what the agent keeps is no difference to apply"
        await buy(hosts)
        with frozen(hosts, "bergen"):
            order, beats = asyncio.create_task(buy(hosts)), oslo.beats
            await asyncio.sleep(1.5)
            assert not order.done() and oslo.beats > beats, "the heartbeat never waits"
            began = asyncio.get_running_loop().time()
            number = await asyncio.wait_for(order, 6)
            assert asyncio.get_running_loop().time() - began < 4
            await until(lambda: oslo.names == "")
            assert oslo.board.commits is not None and oslo.board.commits.stopped_at is not None
            kept, told = as_wanted(look(hosts), hosts.spec, "oslo")
            assert not kept and "commits do not wait for bergen" in told
            assert await asyncio.wait_for(hosts.primary(), 10) == ()
        await until(lambda: oslo.covered)
        assert oslo.names == BERGEN and oslo.board.commits.stopped_at is None
        last = await buy(hosts)
        await until(lambda: arrived(hosts) >= last)
        assert last > number


async def test_with_block_commits_hang_and_nothing_of_ours_does(hosts: Pair, tmp_path: Path) -> None:
    await streaming(hosts, when_standby_lost="block")
    async with agent(hosts, tmp_path) as oslo:
        await until(lambda: oslo.covered)
        with frozen(hosts, "bergen"):
            order = asyncio.create_task(buy(hosts))
            with local(hosts.nodes["oslo"].cluster) as connection:  # as apply, a failover or a survey would
                connection.execute("DROP TABLE secondsite.heartbeat")
            assert [change.summary for change in await asyncio.wait_for(hosts.primary(), 10)] == ["create"]
            await asyncio.sleep(5)
            assert not order.done() and oslo.names == BERGEN
            assert "commits hang" in as_wanted(look(hosts), hosts.spec, "oslo")[1] or waits(look(hosts), "bergen")
        number = await asyncio.wait_for(order, 10)
        await until(lambda: arrived(hosts) >= number)
    texts = [text for event in hosts.events if "hang" in (text := str(getattr(event, "text", "")))]
    assert len(texts) == 1 and "until bergen streams" in texts[0]


async def test_in_mode_async_our_leftover_is_taken_back_and_an_operators_own_setting_is_not(
    hosts: Pair, tmp_path: Path
) -> None:
    await streaming(hosts, mode="async")
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute(SET.format(BERGEN).encode())
        connection.execute(RELOAD)
    assert not as_wanted(look(hosts), hosts.spec, "oslo")[0]
    async with agent(hosts, tmp_path) as oslo:
        await until(lambda: oslo.names == "")
        with local(hosts.nodes["oslo"].cluster) as connection:
            connection.execute(SET.format("ANY 1 (bergen)").encode())
            connection.execute(RELOAD)
        await until(lambda: oslo.names != "")
        await asyncio.sleep(1.5)
        assert oslo.names == "ANY 1 (bergen)"
        assert as_wanted(look(hosts), hosts.spec, "oslo")[0], "it is none of ours: readiness tells it"


async def test_a_line_of_somebody_else_does_not_hold_commits_up_once_the_standby_is_lost(
    hosts: Pair, tmp_path: Path
) -> None:
    with (hosts.nodes["oslo"].cluster.config / "postgresql.conf").open("a") as own:
        own.write("synchronous_standby_names = '*'\n")
    await streaming(hosts)
    async with agent(hosts, tmp_path) as oslo:
        await until(lambda: oslo.covered)
        await hosts.nodes["bergen"].control.stop()
        await asyncio.wait_for(buy(hosts), 8)


async def test_the_followers_are_seen_with_what_the_server_says_for_everybody_else(hosts: Pair, tmp_path: Path) -> None:
    await streaming(hosts)
    state = look(hosts)
    (bergen,) = state.followers
    assert (bergen.name, bergen.state, bergen.sync_state) == ("bergen", "streaming", "async")
    assert bergen.replied_at is not None and bergen.flushed is not None
    assert look(hosts, "bergen").followers == ()
    async with agent(hosts, tmp_path) as oslo:
        await until(lambda: oslo.beats > 0)
        assert oslo.board.database.followers[0].name == "bergen"
        for seen in (state, oslo.board.database):
            assert dict(seen.settings)["synchronous_commit"] == "on"


async def test_a_role_and_a_database_whose_commits_wait_for_less_are_seen(hosts: Pair) -> None:
    await streaming(hosts)
    with local(hosts.nodes["oslo"].cluster) as connection:
        for statement in (
            "CREATE ROLE app LOGIN",
            "CREATE ROLE safe LOGIN",
            "CREATE ROLE people",
            "ALTER ROLE app SET synchronous_commit = local",
            "ALTER ROLE safe SET synchronous_commit = 'true'",
            "ALTER ROLE people SET synchronous_commit = off",  # nobody logs in as a group, and nobody inherits it
            "ALTER DATABASE template1 SET synchronous_commit = remote_write",
        ):
            connection.execute(statement.encode())
    assert dict(look(hosts, "oslo").settings)[LESSER] == "database template1, role app"
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute(b"ALTER ROLE app RESET synchronous_commit")
        connection.execute(b"ALTER DATABASE template1 RESET synchronous_commit")
    assert dict(look(hosts, "oslo").settings)[LESSER] == ""


async def test_after_a_promotion_no_commit_hangs_whatever_the_standby_was_told(hosts: Pair) -> None:
    await streaming(hosts)
    bergen = hosts.nodes["bergen"].cluster
    with local(bergen) as connection:
        connection.execute(SET.format(names("oslo")).encode())
        connection.execute(RELOAD)
    await hosts.nodes["oslo"].control.stop()
    await promote.promote(bergen, timeout_seconds=30)
    assert await asyncio.wait_for(buy(hosts, "bergen"), 5)
    assert dict(look(hosts, "bergen").settings)["synchronous_standby_names"] == ""
    assert promote.prove_writable(bergen, "bergen", 2)


async def test_a_promotion_that_somebody_else_began_is_put_right_too(hosts: Pair) -> None:
    await streaming(hosts)
    bergen = hosts.nodes["bergen"].cluster
    with local(bergen) as connection:
        connection.execute(SET.format(names("oslo")).encode())
        connection.execute(RELOAD)
        connection.execute("SELECT pg_promote()")
    promote.look(bergen)
    assert await asyncio.wait_for(buy(hosts, "bergen"), 5)
