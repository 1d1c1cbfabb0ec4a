"""A database of a known size at the primary, made by pgbench on the host itself and followed by the standby."""

from __future__ import annotations

from secondsite_lab.applied import AppliedLab

BIN = "/usr/lib/postgresql/15/bin"
AS_OWNER = "runuser -u postgres --"
MB_A_SCALE = 15  # pgbench -i: 100,000 accounts with their index
# A slice at a time: the standby follows over a slow tunnel, and its slot keeps no more than the file allows.
SLICE_MB = 450
FILL_SECONDS = 600
FOLLOWED = (
    f'until [ "$({AS_OWNER} psql -qAtc "SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn())'
    ' FROM pg_stat_replication")" = t ]; do sleep 0.2; done'
)


def fill(lab: AppliedLab, megabytes: int) -> int:
    """About so much more at oslo, replayed at bergen; the size of all databases together afterwards, in megabytes."""
    slices = -(-megabytes // SLICE_MB)
    scale = round(megabytes / slices / MB_A_SCALE)
    for number in range(slices):
        name = f"filled{number}"
        lab.on("oslo", f"{AS_OWNER} createdb {name}")
        lab.on("oslo", f"{AS_OWNER} {BIN}/pgbench -i -q -s {scale} {name} 2>&1", timeout=FILL_SECONDS)
        lab.on("oslo", FOLLOWED, timeout=FILL_SECONDS)
    told = lab.on(
        "oslo", f'{AS_OWNER} psql -qAtc "SELECT sum(pg_database_size(oid))::bigint / 1000000 FROM pg_database"'
    )
    return int(told)
