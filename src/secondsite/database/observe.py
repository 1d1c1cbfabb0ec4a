"""Look at the local cluster: one round trip, one frozen ``DatabaseState``."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from secondsite.database.cluster import Cluster
from secondsite.database.connect import local
from secondsite.database.lsn import to_int
from secondsite.database.state import DatabaseState, Role, SlotState, Streaming
from secondsite.errors import RetryableError

HEARTBEAT = "secondsite.heartbeat"

# One statement for either role. to_regclass keeps it valid before the heartbeat table exists.
_LOOK = """
SELECT pg_is_in_recovery(),
       (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int END,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END,
       pg_last_wal_receive_lsn()::text,
       pg_last_wal_replay_lsn()::text,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
       extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
       extract(epoch FROM pg_postmaster_start_time())::float8,
       r.status, r.sender_host, r.latest_end_lsn::text, extract(epoch FROM r.latest_end_time)::float8,
       r.received_tli,
       to_regclass('secondsite.heartbeat') IS NOT NULL
  FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver r ON true
"""
_SLOTS = "SELECT slot_name, active, wal_status, safe_wal_size FROM pg_replication_slots ORDER BY slot_name"
_BEAT = "SELECT extract(epoch FROM max(at))::float8 FROM secondsite.heartbeat"


def observe(cluster: Cluster, *, connection: psycopg.Connection[TupleRow] | None = None) -> DatabaseState:
    """The cluster now; never raises for a cluster that is stopped, absent or not answering: that is the answer.

    With ``connection`` that connection is used (and psycopg.Error may be raised by it).
    """
    if connection is not None:
        return _look(connection)
    if not (cluster.data / "PG_VERSION").exists():
        return DatabaseState(Role.ABSENT, reason=f"no cluster {cluster} on this host")
    if not (cluster.data / "postmaster.pid").exists():
        return DatabaseState(Role.STOPPED, streaming=Streaming.STOPPED, reason="no postmaster runs")
    try:
        with local(cluster) as own:
            return _look(own)
    except RetryableError as unreachable:
        return DatabaseState(Role.UNKNOWN, reason=unreachable.message)


def _look(connection: psycopg.Connection[TupleRow]) -> DatabaseState:
    row = connection.execute(_LOOK).fetchone()
    assert row is not None
    (recovery, system, timeline, flushed, received, replayed, paused, last_xact, started, status, sender, told,
     told_at, receiver_timeline, has_heartbeat) = row  # fmt: skip
    slots = tuple(SlotState(*slot) for slot in connection.execute(_SLOTS).fetchall())
    beat = connection.execute(_BEAT).fetchone() if has_heartbeat else None
    return DatabaseState(
        role=Role.STANDBY if recovery else Role.PRIMARY,
        system_identifier=system,
        timeline=max(timeline, receiver_timeline or 0),
        flushed=_lsn(flushed),
        received=_lsn(received),
        replayed=_lsn(replayed),
        streaming=_streaming(recovery, status, paused, _lsn(told), _lsn(replayed)),
        sender_host=sender,
        replay_paused=paused,
        last_transaction_at=last_xact,
        heartbeat_at=beat[0] if beat else None,
        primary_flushed=_lsn(told),
        primary_told_at=told_at,
        slots=slots,
        started_at=started,
    )


def _streaming(recovery: bool, status: str | None, paused: bool, told: int | None, replayed: int | None) -> Streaming:
    if not recovery:
        return Streaming.UNKNOWN
    if paused:
        return Streaming.PAUSED
    if status != "streaming":
        return Streaming.RECEIVER_DOWN
    behind = (told or 0) - (replayed or 0)
    return Streaming.CATCHING_UP if behind > 16 * 1024 * 1024 else Streaming.STREAMING


def _lsn(text: str | None) -> int | None:
    return None if text is None else to_int(text)
