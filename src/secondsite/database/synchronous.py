"""Whether a commit waits for the standby (manual 27.2.8). Set only while that standby streams: commits hang otherwise.

It goes to postgresql.auto.conf, never to our conf.d file: that file is the same on both sites, and a promoted standby
that waited for its lost peer would accept no commit. Seeds and rejoins leave the line behind (``follow``). When it is
set and taken back is decided in ``commit_wait``, each second, by the primary's agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from secondsite.converge.resource import Change
from secondsite.database.bounded import asking
from secondsite.database.commit_wait import names
from secondsite.database.connect import elsewhere
from secondsite.database.node import Node
from secondsite.database.reload import reload
from secondsite.errors import RetryableError
from secondsite.events import Emit

_LOOK = """
SELECT current_setting('synchronous_standby_names'),
       EXISTS (SELECT FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming')
"""
# Somebody's own line in another file would count again after a RESET.
BENEATH = """
SELECT EXISTS (SELECT FROM pg_file_settings WHERE name = 'synchronous_standby_names' AND coalesce(setting, '') <> ''
                  AND sourcefile NOT LIKE '%/postgresql.auto.conf')
"""
RESET = "ALTER SYSTEM RESET synchronous_standby_names"
NOBODY = "ALTER SYSTEM SET synchronous_standby_names = ''"
RELOAD = "SELECT pg_reload_conf()"


def wait_for(peer: str) -> sql.Composed:
    """The statement after which, and a reload, commits wait for ``peer``."""
    return sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(sql.Literal(names(peer)))


def wait_for_nobody(connection: psycopg.Connection[Any]) -> bool:
    """No commit waits from now on, and those that wait are let go; whether anything had to be done.

    It works on a standby, too. The server takes notice within milliseconds, and a promotion has no time to see it.
    """
    if connection.execute("SHOW synchronous_standby_names").fetchone() == ("",):
        return False
    connection.execute(NOBODY)
    connection.execute(RELOAD)
    return True


@dataclass(frozen=True, slots=True)
class Synchronous:
    """On the primary: commits wait for the peer where the file says so and the peer streams."""

    node: Node
    peer: str
    wanted: bool
    name: str = "synchronous replication"

    async def plan(self) -> Change | None:
        """What differs; nothing where the database does not answer."""
        try:
            return await self.differs()
        except RetryableError:
            return None

    async def differs(self) -> Change | None:
        """What differs. A peer that does not stream (yet) is not waited for; the agent sets it once it does. Raises
        RetryableError where the database does not answer."""
        async with elsewhere(self.node.cluster, step=self.name) as connection:
            row = (await asking(connection, connection.execute, _LOOK, (self.peer,))).fetchone()
        now, streams = row or ("", False)
        if self.wanted and streams and now != names(self.peer):
            return Change(f"commits wait for {self.peer}")
        if not self.wanted and now == names(self.peer):
            return Change(f"commits no longer wait for {self.peer}")
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Set or reset it, and reload."""
        async with elsewhere(self.node.cluster, step=self.name) as connection:
            await asking(connection, connection.execute, wait_for(self.peer) if self.wanted else RESET)
        await reload(self.node, step=self.name)
