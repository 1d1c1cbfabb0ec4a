"""What the delayed standby has, and whether it goes on receiving."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.errors import SecondsiteError

_LOOK = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
       pg_is_in_recovery() AND pg_is_wal_replay_paused(),
       extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint
"""


@dataclass(frozen=True, slots=True)
class DelayedState:
    """reason: why it could not be asked, None where it answered. shows: the moment (unix seconds, the primary's
    clock) of the last transaction that it has replayed: it knows nothing later. waiting_bytes: received and held
    back. paused: a person has stopped its replay."""

    reason: str | None = None
    in_recovery: bool = True
    receiving: bool = False
    paused: bool = False
    shows: float | None = None
    waiting_bytes: int | None = None


def look(node: Node) -> DelayedState:
    """Silence is a state, not an error. Blocks: for a thread."""
    cluster = node.cluster
    if not (cluster.data / "PG_VERSION").exists():
        return DelayedState(reason=f"no cluster {cluster} on this host")
    try:
        with local(cluster, step="delayed standby") as connection:
            row = connection.execute(_LOOK).fetchone()
    except SecondsiteError as silent:
        return DelayedState(reason=silent.message)
    assert row is not None
    in_recovery, receiving, paused, shows, waiting = row
    return DelayedState(None, in_recovery, receiving, paused, shows, max(0, waiting) if waiting is not None else None)
