"""The local cluster each second, over one connection that is kept; and the heartbeat where it is primary."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from secondsite.database import synchronous
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.commit_wait import Act
from secondsite.database.connect import CONNECT_SECONDS, as_user
from secondsite.database.fence import marked_by_us, postmaster_runs
from secondsite.database.observe import observe_over, stopped
from secondsite.database.promote import HEARD
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import FinalError, RetryableError

LOOK_SECONDS = 4.0  # beyond this a cluster that took the question counts as not answering
Connection = psycopg.AsyncConnection[TupleRow]

_OPTIONS = "-c statement_timeout=2s -c lock_timeout=1s -c jit=off"
# A heartbeat waits for this disk only: it must never hang because a synchronous standby is away. It says so for itself,
# because the connection has to see what the server says for everybody else.
# Another site's row is a former primary's: with its clock ahead it would look newer than ours.
_BEAT = """
WITH this_disk AS MATERIALIZED (SELECT set_config('synchronous_commit', 'local', true)),
former AS (DELETE FROM secondsite.heartbeat WHERE site <> %s)
INSERT INTO secondsite.heartbeat (site, at, generation) SELECT %s, clock_timestamp(), %s FROM this_disk
ON CONFLICT (site) DO UPDATE SET at = excluded.at, generation = excluded.generation
RETURNING extract(epoch FROM at)::float8
"""


class Database(Protocol):
    """Where the agent learns what the local cluster is."""

    async def look(self) -> DatabaseState:
        """The cluster now. Never raises for a cluster that does not answer."""

    def held(self) -> bool:
        """Whether the cluster is kept read-only by us: a former primary, or one that waits, and no standby."""

    async def beat(self, generation: int) -> float | None:
        """Write the heartbeat of a primary in ``generation`` (its timeline); the moment that was written.

        Raises FinalError (``no-heartbeat-table``), or psycopg.Error where the cluster does not take it.
        """

    async def change_waiting(self, act: Act, peer: str) -> None:
        """Have commits wait for ``peer``, or no longer. Raises as ``beat``, and where there is no connection."""

    async def close(self) -> None:
        """Let go of the connection."""


class LocalDatabase:
    """A cluster on this host."""

    def __init__(self, cluster: Cluster, site: str, connect: Callable[[], Awaitable[Connection]] | None = None) -> None:
        self._cluster = cluster
        self._site = site
        self._connect = connect or self._as_owner
        self._connection: Connection | None = None

    async def look(self) -> DatabaseState:
        """The cluster now: over the kept connection, else over a new one, else why there is none."""
        problem: Exception | None = None
        for _ in range(2):  # a kept connection may have died with a restart of the cluster
            kept = self._connection is not None
            try:
                self._connection = self._connection or await self._connect()
                with _hanging_up(self._connection):
                    return await observe_over(self._connection)
            except (psycopg.Error, OSError) as lost:
                problem = lost
                await self._drop()
                if not kept:
                    break
        return self._unseen(problem)

    def held(self) -> bool:
        """Whether standby.signal is there, and ours."""
        return marked_by_us(self._cluster)

    async def receiver_heard_at(self) -> float | None:
        """When the WAL receiver last heard from the primary (unix seconds); None where nothing is received.

        Raises RetryableError (``database-unreachable``) where the kept connection does not tell.
        """
        connection = self._connection
        try:
            if connection is not None:
                with _hanging_up(connection):
                    row = await (await connection.execute(HEARD)).fetchone()
                return row[0] if row else None
        except (psycopg.Error, OSError):
            pass  # the next look connects anew
        raise RetryableError(f"{self._cluster} is not connected", slug="database-unreachable")

    async def beat(self, generation: int) -> float | None:
        """Only after a ``look`` that found a primary; None where the connection is gone since."""
        connection = self._connection
        if connection is None:
            return None
        with _hanging_up(connection):
            try:
                cursor = await connection.execute(_BEAT, (self._site, self._site, generation))
            except psycopg.errors.UndefinedTable as missing:
                raise FinalError(
                    "there is no table for the heartbeat, so lag in seconds is only known to a second or so",
                    slug="no-heartbeat-table",
                    hint="secondsite apply",
                ) from missing
            row = await cursor.fetchone()
        return float(row[0]) if row else None

    async def change_waiting(self, act: Act, peer: str) -> None:
        """ALTER SYSTEM and a reload; what became of it is seen by the next ``look``. Neither of them is a commit."""
        connection = self._connection
        if connection is None:
            raise RetryableError(f"{self._cluster} is not connected", slug="database-unreachable")
        with _hanging_up(connection):
            statement: sql.Composed | LiteralString = synchronous.RESET
            if act is Act.WAIT:
                statement = synchronous.wait_for(peer)
            elif act is Act.STOP:
                row = await (await connection.execute(synchronous.BENEATH)).fetchone()
                statement = synchronous.NOBODY if row and row[0] else synchronous.RESET
            await connection.execute(statement)
            await connection.execute(synchronous.RELOAD)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._drop()

    async def _drop(self) -> None:
        gone, self._connection = self._connection, None
        if gone is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await gone.close()

    def _unseen(self, problem: BaseException | None) -> DatabaseState:
        cluster = self._cluster
        if not (cluster.data / "PG_VERSION").exists():
            return DatabaseState(Role.ABSENT, reason=f"no cluster {cluster} on this host")
        if not postmaster_runs(cluster):
            return stopped(cluster)
        told = str(problem).strip().split("\n")[0]
        return DatabaseState(Role.UNKNOWN, reason=f"{cluster} does not answer: {told}")

    async def _as_owner(self) -> Connection:
        cluster = self._cluster
        return await _AsOwner(
            psycopg.AsyncConnection.connect(
                host=str(cluster.socket_directory), port=cluster.port, dbname="postgres", user=OWNER,
                application_name="secondsite-agent", connect_timeout=CONNECT_SECONDS, options=_OPTIONS,
                autocommit=True,
            )
        )  # fmt: skip


@contextlib.contextmanager
def _hanging_up(connection: Connection) -> Iterator[None]:
    """Hang up on a server that has not answered in time; the waiting statement then ends with OperationalError.

    Cancelling would wait for the server to confirm, which a server that is frozen never does.
    """
    timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: Connection) -> None:
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


class _AsOwner:
    """Awaits a connection attempt, being the cluster's owner in each of its steps and root between them.

    The kernel notes who calls connect(2), which happens inside one of those steps; nothing else of the event loop
    ever runs under the other identity.
    """

    def __init__(self, attempt: Coroutine[Any, Any, Connection]) -> None:
        self._attempt = attempt

    def __await__(self) -> Generator[Any, Any, Connection]:
        waited: Any = None
        problem: BaseException | None = None
        while True:
            try:
                with as_user(OWNER):
                    future = self._attempt.throw(problem) if problem else self._attempt.send(waited)
            except StopIteration as done:
                connection: Connection = done.value
                return connection
            problem = None
            try:
                waited = yield future
            except BaseException as raised:  # noqa: BLE001 - handed on into the attempt, cancellation included
                problem = raised
