"""Which transactions a look has seen, so that looks of two sites can be put into an order.

Primary before standby: what a snapshot sees has written its commit record, so it lies before the insert position that
is read *after* the snapshot; a standby that has replayed that far shows it.

Standby before primary: a commit is replayed as soon as it was sent, which may be before its own backend makes it
visible (it may wait for a synchronous standby, manual 27.2.8.1). So the primary's transactions in progress are compared
with what the standby has as committed, and those are waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.rows import TupleRow

from secondsite.database.lsn import to_int

_POSITION = """
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text
"""
_HORIZON = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
# A snapshot names those in progress only below the newest that has ended here (manual 9.27.10): one that is newer than
# all of them, and has ended at the other server, has to be added.
_RUNNING = """
SELECT pg_snapshot_xip(seen)::text FROM pg_current_snapshot() seen
UNION SELECT newer::text FROM pg_current_snapshot() seen,
             generate_series(pg_snapshot_xmax(seen)::text::numeric, %s::numeric - 1) newer
"""
# Asked only below what this server knows of: a number from the future is an error (manual 9.27.10).
_COMMITTED = """
SELECT told FROM unnest(%s::text[]) told
 WHERE CASE WHEN told::xid8 < pg_snapshot_xmax(pg_current_snapshot())
            THEN pg_xact_status(told::xid8) = 'committed' END
"""


def position(connection: psycopg.Connection[TupleRow]) -> tuple[bool, int]:
    """Whether this is a standby, and where: a standby's replay, a primary's end of WAL, in bytes."""
    row = connection.execute(_POSITION).fetchone()
    assert row is not None
    return bool(row[0]), to_int(row[1]) if row[1] else 0


def horizon(connection: psycopg.Connection[TupleRow]) -> str:
    """No transaction from this one on has been seen to end by a look at this server."""
    row = connection.execute(_HORIZON).fetchone()
    assert row is not None
    return str(row[0])


def running(connection: psycopg.Connection[TupleRow], below: str) -> list[str]:
    """The transactions below the other server's horizon that a look at this primary would not see yet."""
    return [str(one) for (one,) in connection.execute(_RUNNING, (below,)).fetchall()]


def committed(connection: psycopg.Connection[TupleRow], transactions: Sequence[str]) -> list[str]:
    """Those of them that a look at this server may have seen."""
    return [str(one) for (one,) in connection.execute(_COMMITTED, (list(transactions),)).fetchall()]
