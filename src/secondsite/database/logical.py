"""Logical slots, and whether a promotion of the standby takes them along (manual 29.3 and 47.2.3, PostgreSQL 17).

Before 17 none survives: a standby has none of its primary's slots. Since then a slot that is marked ``failover`` is
copied to a standby that has ``sync_replication_slots`` and what that needs. What a server knows is seen in its own
catalogue and settings, so that no version is named here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

# to_jsonb: a column that an older catalogue does not have is null. "wal_status" is lost where the slot is of no use.
_SLOTS = """
SELECT slot_name::text, temporary, coalesce((to_jsonb(s)->>'failover')::bool, false),
       coalesce((to_jsonb(s)->>'synced')::bool, false),
       wal_status IS NOT DISTINCT FROM 'lost' OR coalesce((to_jsonb(s)->>'conflicting')::bool, false)
       OR to_jsonb(s)->>'invalidation_reason' IS NOT NULL
  FROM pg_replication_slots s WHERE slot_type = 'logical' ORDER BY 1
"""
_LACKS = """
SELECT pg_is_in_recovery(), current_setting('sync_replication_slots', true), current_setting('hot_standby_feedback'),
       current_setting('wal_level'), current_setting('primary_slot_name'),
       current_setting('primary_conninfo') ~ '\\mdbname\\s*='
"""
_AWAITED = """
SELECT name, EXISTS (SELECT FROM pg_replication_slots WHERE slot_name::text = name AND active)
  FROM (SELECT trim(named, ' "') AS name
          FROM regexp_split_to_table(current_setting('synchronized_standby_slots', true), ',') named) each
 WHERE name <> '' ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class LogicalSlots:
    """One server's logical slots by name.

    At a primary, unmarked: those that no promotion takes along; marked: those that one takes along where the standby
    has a copy; awaited: synchronized_standby_slots, which consumers never overtake; unused: those of them that nobody
    uses, so that every consumer waits. At a standby, copies: ready for a promotion; own: none that was copied; lacks:
    what keeps it from copying, as lines of postgresql.conf.
    """

    unmarked: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


def look(connection: psycopg.Connection[Any]) -> LogicalSlots:
    """The server's, as its role is now. psycopg.Error is the caller's."""
    rows = connection.execute(_SLOTS).fetchall()
    row = connection.execute(_LACKS).fetchone()
    assert row is not None
    standby, *settings = row
    kept = [(name, marked, copied, broken) for name, temporary, marked, copied, broken in rows if not temporary]
    if standby:
        return LogicalSlots(
            copies=tuple(name for name, _, copied, broken in kept if copied and not broken),
            own=tuple(name for name, _, copied, _ in kept if not copied),
            lacks=tuple(_lacks(*settings)),
        )
    awaited = connection.execute(_AWAITED).fetchall()
    return LogicalSlots(
        unmarked=tuple(name for name, marked, _, _ in kept if not marked),
        marked=tuple(name for name, marked, _, _ in kept if marked),
        awaited=tuple(name for name, _ in awaited),
        unused=tuple(name for name, used in awaited if not used),
    )


def lost(unmarked: Iterable[str], marked: Iterable[str], copies: Iterable[str]) -> tuple[str, ...]:
    """The primary's slots that a promotion of the standby with these copies loses."""
    return (*unmarked, *(name for name in marked if name not in set(copies)))


def drop_left_over(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """At a standby, drop what its time as primary has left; the names.

    A slot marked ``failover`` that is no copy can only be from that time: nobody can create one at a standby. While
    it stands there no slot at all is copied ("a slot with this name exists"), and it pins WAL for nobody.
    """
    rows = connection.execute(
        "SELECT slot_name::text FROM pg_replication_slots s WHERE pg_is_in_recovery() AND slot_type = 'logical'"
        " AND NOT active AND (to_jsonb(s)->>'failover')::bool AND NOT (to_jsonb(s)->>'synced')::bool"
    ).fetchall()
    for (name,) in rows:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    return tuple(name for (name,) in rows)


def _lacks(copying: str | None, feedback: str, level: str, slot: str, database: bool) -> Iterable[str]:
    if copying is None:
        return
    if copying != "on":
        yield "sync_replication_slots = on"
    if feedback != "on":
        yield "hot_standby_feedback = on"
    if level != "logical":
        yield "wal_level = logical"
    if not slot:
        yield "primary_slot_name"
    if not database:
        yield "dbname in primary_conninfo"
