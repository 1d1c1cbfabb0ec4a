"""Look at the local cluster: one round trip, one frozen ``DatabaseState``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from secondsite.database.cluster import Cluster
from secondsite.database.commit_wait import LESSER
from secondsite.database.connect import local
from secondsite.database.control import cause_of_death
from secondsite.database.lsn import to_int
from secondsite.database.state import DatabaseState, Follower, Role, SlotState, Streaming
from secondsite.errors import RetryableError

HEARTBEAT = "secondsite.heartbeat"

# What decides whether a standby can follow, be promoted and be taken back.
SETTINGS = (
    "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
    "max_locks_per_transaction", "wal_log_hints", "data_checksums", "full_page_writes", "wal_level",
    "max_slot_wal_keep_size", "synchronous_standby_names", "synchronous_commit", "server_version_num",
)  # fmt: skip
# Whose commits wait for less than the server's own synchronous_commit says (manual 20.1.3, ALTER ROLE and ALTER
# DATABASE ... SET); the words of an enum that means a boolean are aliases. A session's own SET nobody else can see.
_LESSER_COMMITS = """
(SELECT coalesce(string_agg(DISTINCT concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname), ', '), '')
   FROM pg_db_role_setting s
        LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase,
        unnest(s.setconfig) one
  WHERE one LIKE 'synchronous_commit=%' AND (s.setrole = 0 OR r.rolcanlogin)
    AND lower(split_part(one, '=', 2)) NOT IN ('on', 'remote_apply', 'true', 'yes', '1'))
"""
_SETTINGS = ", ".join(f"'{name}', current_setting('{name}')" for name in SETTINGS)

# The control file of a standby keeps its old timeline until its first restartpoint, the end of its minimum recovery
# until a page is written, and the receiver is gone with the primary. Segments tell: the receiver makes them in the
# timeline that it is sent, and a standby that could not follow there is never sent any (manual 27.2.2, 30.6).
_SEGMENTS = """
(SELECT ('x' || max(substr(name, 1, 8)))::bit(32)::int FROM pg_ls_dir('pg_wal') name WHERE name ~ '^[0-9A-F]{24}$')
"""

# One statement for either role. to_regclass keeps it valid before the heartbeat table exists.
_LOOK = f"""
SELECT pg_is_in_recovery(),
       (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery()
            THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()), coalesce(r.received_tli, {_SEGMENTS}))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int END,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END,
       pg_last_wal_receive_lsn()::text,
       pg_last_wal_replay_lsn()::text,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
       extract(epoch FROM pg_last_xact_replay_timestamp())::float8,
       extract(epoch FROM pg_postmaster_start_time())::float8,
       r.status, r.sender_host, r.latest_end_lsn::text, extract(epoch FROM r.latest_end_time)::float8,
       to_regclass('secondsite.heartbeat') IS NOT NULL,
       (SELECT coalesce(json_agg(json_build_array(slot_name, active, wal_status, safe_wal_size) ORDER BY slot_name),
                        '[]') FROM pg_replication_slots),
       (SELECT coalesce(json_agg(json_build_array(application_name, state, sync_state, flush_lsn::text,
                                                  extract(epoch FROM reply_time)::float8) ORDER BY pid),
                        '[]') FROM pg_stat_replication),
       json_build_object({_SETTINGS}, '{LESSER}', {_LESSER_COMMITS})
  FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver r ON true
"""
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
        return stopped(cluster)
    try:
        with local(cluster, as_set=True) as own:
            return _look(own)
    except RetryableError as unreachable:
        return DatabaseState(Role.UNKNOWN, reason=unreachable.message)


def stopped(cluster: Cluster) -> DatabaseState:
    """A cluster without a postmaster; with the reason, where it has ended by itself and its log says why."""
    died = cause_of_death(cluster)
    reason = f"no postmaster runs; it has ended by itself: {died}" if died else "no postmaster runs"
    return DatabaseState(Role.STOPPED, streaming=Streaming.STOPPED, reason=reason)


async def observe_over(connection: psycopg.AsyncConnection[TupleRow]) -> DatabaseState:
    """The same over a connection that is kept, without holding up the event loop. psycopg.Error is the caller's."""
    row = await (await connection.execute(_LOOK)).fetchone()
    beat = await (await connection.execute(_BEAT)).fetchone() if _has_heartbeat(row) else None
    return _read(row, beat)


def _look(connection: psycopg.Connection[TupleRow]) -> DatabaseState:
    row = connection.execute(_LOOK).fetchone()
    beat = connection.execute(_BEAT).fetchone() if _has_heartbeat(row) else None
    return _read(row, beat)


def _has_heartbeat(row: Sequence[Any] | None) -> bool:
    return row is not None and bool(row[-4])


def _read(row: Sequence[Any] | None, beat: Sequence[Any] | None) -> DatabaseState:
    assert row is not None
    (recovery, system, timeline, flushed, received, replayed, paused, last_xact, started, status, sender, told,
     told_at, _, slots, followers, settings) = row  # fmt: skip
    return DatabaseState(
        role=Role.STANDBY if recovery else Role.PRIMARY,
        system_identifier=system,
        timeline=timeline,
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
        slots=tuple(SlotState(*slot) for slot in slots),
        followers=tuple(Follower(name, state, sync, _lsn(flush), at) for name, state, sync, flush, at in followers),
        settings=tuple(settings.items()),
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
