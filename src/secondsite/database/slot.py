"""The physical replication slot that keeps WAL for the standby, never more than ``max_slot_wal``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from secondsite.converge.resource import Change
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.errors import FinalError, RetryableError
from secondsite.events import Emit

PREFIX = "secondsite_"
_SLOT = """
SELECT slot_type, active, wal_status, restart_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = %s
"""


def slot_name(site: str) -> str:
    """The slot at the primary that keeps WAL for ``site``; slot names know no dash."""
    return PREFIX + site.replace("-", "_")


def ensure(connection: psycopg.Connection[Any], name: str) -> bool:
    """Create the slot, WAL reserved from this moment; False where a usable one exists.

    A lost slot (its WAL is gone) is replaced: its standby has to be seeded again anyway. Raises FinalError
    (slug ``slot-foreign``) where a logical slot has the name.
    """
    verdict = _look(connection, name)
    if verdict is None:
        return False
    if verdict == "replace":
        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))
    return True


def drop_others(connection: psycopg.Connection[Any], keep: str | None = None) -> tuple[str, ...]:
    """Drop inactive slots of ours but ``keep``; their names. A slot left after a change of roles pins WAL for ever."""
    rows = connection.execute(
        "SELECT slot_name FROM pg_replication_slots WHERE starts_with(slot_name, %s) AND slot_name <> %s"
        " AND slot_type = 'physical' AND NOT active",
        (PREFIX, keep or ""),
    ).fetchall()
    for (name,) in rows:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    return tuple(name for (name,) in rows)


def _look(connection: psycopg.Connection[Any], name: str) -> str | None:
    row = connection.execute(_SLOT, (name,)).fetchone()
    if row is None:
        return "create"
    kind, active, wal_status, reserved = row
    if kind != "physical":
        raise FinalError(
            f"a {kind} slot has our name {name}",
            slug="slot-foreign",
            hint=f"drop or rename it: SELECT pg_drop_replication_slot('{name}')",
        )
    broken = wal_status == "lost" or not reserved
    return "replace" if broken and not active else None


@dataclass(frozen=True, slots=True)
class Slot:
    """The peer's slot on this primary."""

    node: Node
    site: str  # whose slot

    @property
    def name(self) -> str:
        return f"replication slot {slot_name(self.site)}"

    async def plan(self) -> Change | None:
        """Whether it is missing or lost. Where the server does not answer yet, it is taken as missing."""
        try:
            with local(self.node.cluster, step=self.name) as connection:
                verdict = _look(connection, slot_name(self.site))
        except RetryableError:
            verdict = "create"
        if verdict == "replace":
            return Change("create again: its WAL is lost, the standby has to be seeded anew")
        return None if verdict is None else Change("create")

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create it."""
        with local(self.node.cluster, step=self.name) as connection:
            ensure(connection, slot_name(self.site))
