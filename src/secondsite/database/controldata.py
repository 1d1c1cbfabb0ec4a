"""What the control file of a data directory says, as pg_controldata prints it; works while the server is stopped."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from secondsite import process
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.lsn import to_int
from secondsite.errors import FinalError

READ_SECONDS = 10
FIRST_USER_OID = 16384  # access/transam.h: FirstNormalObjectId; nobody created anything below it


@dataclass(frozen=True, slots=True)
class ControlData:
    """The fields a decision needs. Positions are bytes of WAL; modified_at is unix seconds, None where not readable.

    state: as PostgreSQL words it, like "in production", "shut down", "in archive recovery",
    "shut down in recovery". checksums: data page checksums are on. timeline: that of the last checkpoint.
    recovery_timeline: that of the WAL which a recovery has to reach at least; 0 where none has to.
    """

    state: str
    system_identifier: str
    timeline: int
    checkpoint_lsn: int
    redo_lsn: int
    next_oid: int
    wal_log_hints: bool
    checksums: bool
    wal_segment_bytes: int
    catalog_version: str
    modified_at: float | None = None
    recovery_timeline: int = 0

    @property
    def generation(self) -> int:
        """The newest timeline that this cluster was on.

        A promotion writes no checkpoint before it accepts writes, only the end of recovery, which raises the point
        that a next recovery has to reach (xlog.c, CreateEndOfRecoveryRecord). Until the first checkpoint, which may
        take minutes, ``timeline`` is the one before.
        """
        return max(self.timeline, self.recovery_timeline)

    @property
    def was_standby(self) -> bool:
        """The server was in recovery when it last wrote this file."""
        return "recovery" in self.state and self.state != "in crash recovery"

    @property
    def untouched(self) -> bool:
        """Nobody has ever created a database object here: what initdb made and nothing else."""
        return self.next_oid <= FIRST_USER_OID


def parse(text: str) -> ControlData:
    """From pg_controldata's output in the C locale. Raises ValueError where a field is missing."""
    found = {}
    for row in text.splitlines():
        key, colon, value = row.partition(":")
        if colon:
            found[key.strip()] = value.strip()
    try:
        return ControlData(
            state=found["Database cluster state"],
            system_identifier=found["Database system identifier"],
            timeline=int(found["Latest checkpoint's TimeLineID"]),
            checkpoint_lsn=to_int(found["Latest checkpoint location"]),
            redo_lsn=to_int(found["Latest checkpoint's REDO location"]),
            next_oid=int(found["Latest checkpoint's NextOID"]),
            wal_log_hints=found["wal_log_hints setting"] == "on",
            checksums=int(found["Data page checksum version"]) > 0,
            wal_segment_bytes=int(found["Bytes per WAL segment"]),
            catalog_version=found["Catalog version number"],
            recovery_timeline=int(found["Min recovery ending loc's timeline"]),
            modified_at=_moment(found.get("pg_control last modified", "")),
        )
    except KeyError as missing:
        raise ValueError(f"pg_controldata printed no {missing}") from missing


async def read(cluster: Cluster, data: Path | None = None) -> ControlData:
    """The control file of the cluster, or of ``data``, another folder of the same major version.

    Raises FinalError (slug ``control-file``) where it cannot be read.
    """
    folder = data or cluster.data
    done = await process.run(
        [cluster.program("pg_controldata"), str(folder)],
        timeout=READ_SECONDS,
        env={"TZ": "UTC"},
        user=OWNER if os.geteuid() == 0 else None,
        check=False,
    )
    try:
        if done.ok:
            return parse(done.stdout)
        why = done.why()
    except ValueError as strange:
        why = str(strange)
    raise FinalError(f"the control file in {folder} cannot be read: {why}", slug="control-file")


def _moment(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
