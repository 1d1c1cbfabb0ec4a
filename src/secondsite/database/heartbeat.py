"""The heartbeat table: one row a site, written each second by the primary's agent, read at the standby."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.converge.resource import Change
from secondsite.database.cluster import OWNER
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.errors import RetryableError
from secondsite.events import Emit

_THERE = "SELECT to_regclass('secondsite.heartbeat') IS NOT NULL"
_CREATE = (
    f"CREATE SCHEMA IF NOT EXISTS secondsite AUTHORIZATION {OWNER}",
    "REVOKE ALL ON SCHEMA secondsite FROM PUBLIC",
    """CREATE TABLE IF NOT EXISTS secondsite.heartbeat (
        site text PRIMARY KEY,
        at timestamptz NOT NULL,
        generation integer NOT NULL
    ) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000)""",
    f"ALTER TABLE secondsite.heartbeat OWNER TO {OWNER}",
    "REVOKE ALL ON secondsite.heartbeat FROM PUBLIC",
    "COMMENT ON TABLE secondsite.heartbeat IS 'written each second by the secondsite agent of the primary'",
)


@dataclass(frozen=True, slots=True)
class HeartbeatTable:
    """The table in the database ``postgres``; it reaches the standby by replication."""

    node: Node
    name: str = "database table secondsite.heartbeat"

    async def plan(self) -> Change | None:
        """Whether it is missing."""
        try:
            with local(self.node.cluster, step=self.name) as connection:
                row = connection.execute(_THERE).fetchone()
        except RetryableError:
            row = None
        return None if row and row[0] else Change("create")

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create it."""
        with local(self.node.cluster, step=self.name) as connection, connection.transaction():
            for statement in _CREATE:
                connection.execute(statement.encode())
