"""What of a cluster decides whether its role can be moved now: one look, plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from secondsite.database import logical
from secondsite.database.cluster import Cluster
from secondsite.database.connect import local
from secondsite.database.logical import LogicalSlots
from secondsite.database.lsn import to_int
from secondsite.database.settings import AT_LEAST_PRIMARYS
from secondsite.database.slot import slot_name

_SETTINGS = (*AT_LEAST_PRIMARYS, "server_version_num", "wal_sender_timeout", "recovery_min_apply_delay")
_LOOK = """
SELECT pg_is_in_recovery(),
       (SELECT count(*) FROM pg_stat_progress_basebackup),
       (SELECT count(*) FROM pg_prepared_xacts),
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready'),
       current_setting('archive_mode') <> 'off'
       AND coalesce((SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver), false),
       (SELECT state FROM pg_stat_replication WHERE application_name = %(peer)s ORDER BY pid LIMIT 1),
       (SELECT wal_status FROM pg_replication_slots WHERE slot_name = %(slot)s),
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END,
       (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name = ANY(%(settings)s))
"""


_OLDEST = "SELECT max(extract(epoch FROM now() - xact_start)) FROM pg_stat_activity WHERE pid = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Movable:
    """Positions are bytes of WAL. archive_waiting: finished WAL files that are not archived yet; archive_failing: the
    last try failed. follower_state, slot: the peer as pg_stat_replication and its slot show it."""

    backups_running: int = 0
    prepared_transactions: int = 0
    logical: LogicalSlots = field(default_factory=LogicalSlots)
    archive_waiting: int = 0
    archive_failing: bool = False
    follower_state: str | None = None
    slot: str | None = None
    flushed: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def longest_transaction(cluster: Cluster, pids: Sequence[int]) -> float:
    """Seconds since the oldest transaction of these sessions began; 0 where none has one open. Raises as ``look``."""
    if not pids:
        return 0.0
    with local(cluster, step="look at transactions") as connection:
        row = connection.execute(_OLDEST, (list(pids),)).fetchone()
    return float(row[0] or 0) if row is not None else 0.0


def look(cluster: Cluster, peer: str) -> Movable:
    """The running cluster now. Raises RetryableError where it does not answer."""
    values = {"peer": peer, "slot": slot_name(peer), "settings": list(_SETTINGS)}
    with local(cluster, step="look at the database") as connection:
        row = connection.execute(_LOOK, values).fetchone()
        slots = logical.look(connection)
    assert row is not None
    return Movable(
        backups_running=row[1],
        prepared_transactions=row[2],
        logical=slots,
        archive_waiting=row[3],
        archive_failing=row[4],
        follower_state=row[5],
        slot=row[6],
        flushed=to_int(row[7]) if row[7] else None,
        settings=dict(row[8] or {}),
    )
