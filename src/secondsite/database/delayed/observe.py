"""What the delayed standby has, and whether it goes on receiving."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from secondsite.database.connect import local
from secondsite.database.control import log_file, tail
from secondsite.database.delayed.parted import cannot_start, no_way_on
from secondsite.database.node import Node
from secondsite.errors import SecondsiteError

_LOOK = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
       pg_is_in_recovery() AND pg_is_wal_replay_paused(),
       extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint,
       extract(epoch FROM pg_postmaster_start_time())::float8
"""
REST_BYTES = 64 * 1024  # the beginning of a record whose end was never received


@dataclass(frozen=True, slots=True)
class DelayedState:
    """reason: why it could not be asked, None where it answered. shows: the moment (unix seconds, the primary's
    clock) of the last transaction that it has replayed: it knows nothing later. waiting_bytes: received and held
    back; None where nobody knows: after a start nothing was received before the WAL that is there is replayed.
    paused: a person, a recovery target or too low settings have stopped its replay. started_at: unix seconds.
    stuck: what its log says, where it can never receive again."""

    reason: str | None = None
    in_recovery: bool = True
    receiving: bool = False
    paused: bool = False
    shows: float | None = None
    waiting_bytes: int | None = None
    started_at: float | None = None
    stuck: str | None = None

    def waits(self, delay: float, now: float) -> bool:
        """Whether it holds WAL back, and so asks for no more; after a start for as long as that may take."""
        if self.waiting_bytes is None:
            return self.started_at is not None and now - self.started_at < delay
        return self.waiting_bytes > 0


def look(node: Node, log: Path | None = None) -> DelayedState:
    """Silence is a state, not an error. log: where Debian has it, unless told. Blocks: for a thread."""
    cluster = node.cluster
    log = log or log_file(cluster)
    if not (cluster.data / "PG_VERSION").exists():
        return DelayedState(reason=f"no cluster {cluster} on this host")
    try:
        with local(cluster, step="delayed standby") as connection:
            row = connection.execute(_LOOK).fetchone()
    except SecondsiteError as silent:
        return DelayedState(reason=silent.message, stuck=None if node.running else cannot_start(tail(log)))
    assert row is not None
    in_recovery, receiving, paused, shows, waiting, started = row
    waiting = max(0, waiting) if waiting is not None else None
    state = DelayedState(None, in_recovery, receiving, paused, shows, waiting, started)
    idle = in_recovery and not receiving and not paused and waiting is not None and waiting < REST_BYTES
    return replace(state, stuck=no_way_on(tail(log))) if idle else state
