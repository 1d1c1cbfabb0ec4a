"""Whether a commit waits for the standby (manual 27.2.8). Set only while that standby streams: commits hang otherwise.

It goes to postgresql.auto.conf, never to our conf.d file: that file is the same on both sites, and a promoted standby
that waited for its lost peer would accept no commit. Seeds and rejoins leave the line behind (``follow``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from secondsite.converge.resource import Change
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.database.reload import reload
from secondsite.errors import RetryableError
from secondsite.events import Emit

_LOOK = """
SELECT current_setting('synchronous_standby_names'),
       EXISTS (SELECT FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming')
"""


def names(peer: str) -> str:
    """The setting's value that makes commits wait for ``peer``."""
    return f'FIRST 1 ("{peer}")'


def wait_for(connection: psycopg.Connection[Any], peer: str) -> None:
    """Commits wait for ``peer`` after the next reload."""
    connection.execute(sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(sql.Literal(names(peer))))


def wait_for_nobody(connection: psycopg.Connection[Any]) -> None:
    """Commits wait for nobody after the next reload; sessions that wait already are let go then."""
    connection.execute("ALTER SYSTEM RESET synchronous_standby_names")


@dataclass(frozen=True, slots=True)
class Synchronous:
    """On the primary: commits wait for the peer where the file says so and the peer streams."""

    node: Node
    peer: str
    wanted: bool
    name: str = "synchronous replication"

    async def plan(self) -> Change | None:
        """What differs. A peer that does not stream (yet) is not waited for; a later run sets it."""
        try:
            with local(self.node.cluster, step=self.name) as connection:
                row = connection.execute(_LOOK, (self.peer,)).fetchone()
        except RetryableError:
            return None
        now, streams = row or ("", False)
        if self.wanted and streams and now != names(self.peer):
            return Change(f"commits wait for {self.peer}")
        if not self.wanted and now == names(self.peer):
            return Change(f"commits no longer wait for {self.peer}")
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Set or reset it, and reload."""
        with local(self.node.cluster, step=self.name) as connection:
            if self.wanted:
                wait_for(connection, self.peer)
            else:
                wait_for_nobody(connection)
        await reload(self.node, step=self.name)
