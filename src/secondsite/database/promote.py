"""Turn the local standby into the primary: detach, drain, promote, observe.

Sequence and facts: PostgreSQL manual 27.3 (failover), 9.28.4 (pg_promote, pg_wal_replay_resume), 20.6.3
(primary_conninfo may change by reload since version 13).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from secondsite.database.bounded import Bounded, apart, asking
from secondsite.database.cluster import Cluster
from secondsite.database.connect import elsewhere, in_thread, local
from secondsite.database.fence import postmaster_runs
from secondsite.database.follow import forget_overrides
from secondsite.database.lsn import to_int, to_text
from secondsite.database.synchronous import wait_for_nobody
from secondsite.errors import FinalError, RetryableError, SecondsiteError, UnknownOutcomeError

POLL_SECONDS = 0.005
SEGMENT = re.compile("[0-9A-F]{24}")  # a file name in pg_wal
SEGMENT_BYTES = 2**24  # unless initdb was told otherwise
PROMOTE_FILE = "promote"  # in the data folder, from the request until the server has taken notice of it
HELD_UP_SECONDS = 1.0

# Sessions at a standby only read; yet one of them can hold replay up, without end where max_standby_streaming_delay is
# -1 (manual 27.4.2). The startup process waits for a lock, a buffer pin or a snapshot then.
END_READERS = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND EXISTS (SELECT FROM pg_stat_activity startup WHERE startup.backend_type = 'startup'
                  AND (startup.wait_event_type IN ('Lock', 'BufferPin') OR startup.wait_event LIKE 'RecoveryConflict%'))
"""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was observed after a promotion. switch_lsn: where the new timeline left the old one, in bytes. next_xid:
    every transaction that came along has a lower number (64 bits); directly behind the promotion nobody else has."""

    timeline: int
    switch_lsn: int
    next_xid: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Free and needed bytes where the WAL is written."""

    place: Path
    free_bytes: int
    needed_bytes: int

    @property
    def enough(self) -> bool:
        return self.free_bytes >= self.needed_bytes


def room(cluster: Cluster) -> Room:
    """Whether a promotion has room: it always makes one new WAL segment, a copy of the last under the new timeline,
    and takes no recycled one for it (xlog.c, XLogInitNewTimeline and XLogFileCopy). Raises OSError."""
    folder = cluster.data / "pg_wal"
    with os.scandir(folder) as found:
        needed = next((one.stat().st_size for one in found if SEGMENT.fullmatch(one.name)), SEGMENT_BYTES)
    disk = os.statvfs(folder)
    return Room(folder, disk.f_bavail * disk.f_frsize, needed)


def detach(cluster: Cluster) -> None:
    """Stop receiving, and stay so after a restart: an empty primary_conninfo of our own, by reload."""
    with local(cluster, step="detach") as connection:
        connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        connection.execute("SELECT pg_reload_conf()")


def attach_again(cluster: Cluster) -> None:
    """Undo ``detach``: what the configuration files say counts again, now or when a stopped cluster starts."""
    if not postmaster_runs(cluster):
        forget_overrides(cluster.data)
        return
    with local(cluster, step="attach again") as connection:
        connection.execute("ALTER SYSTEM RESET primary_conninfo")
        connection.execute("SELECT pg_reload_conf()")


_DRAINED = """
SELECT pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text, pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver)
"""


async def drain(
    cluster: Cluster, *, patience_seconds: float, progress: Callable[[int, int], None], receiver_gone: bool
) -> int:
    """Wait until everything received is replayed (and, if asked, the receiver is gone); the position, in bytes.

    progress gets (replayed, received). Where replay stands still because sessions hold it up, they are ended: they
    only read, and what they block would be lost or delay the service. Raises RetryableError (``replay-slow``) when
    ``patience_seconds`` pass without any progress; promotion would have to replay the rest all the same.
    """
    loop = asyncio.get_running_loop()
    moved_at, last = loop.time(), -1
    async with elsewhere(cluster, step="drain") as connection:
        while True:
            row = (await asking(connection, connection.execute, _DRAINED)).fetchone()
            assert row is not None
            replayed = to_int(row[1]) if row[1] else 0
            received = max(to_int(row[0]) if row[0] else 0, replayed)
            progress(replayed, received)
            if not row[2] or (replayed >= received and not (receiver_gone and row[3])):
                return replayed
            if replayed != last:
                moved_at, last = loop.time(), replayed
            if loop.time() - moved_at > HELD_UP_SECONDS:
                await asking(connection, connection.execute, END_READERS)
            if loop.time() - moved_at > patience_seconds:
                raise RetryableError(
                    f"replay stands at {to_text(replayed)} and {received - replayed} received bytes wait",
                    slug="replay-slow",
                    step="drain",
                    hint="look at the standby's log; a conflict or a slow disk holds replay up",
                )
            await asyncio.sleep(POLL_SECONDS)


HEARD = "SELECT extract(epoch FROM last_msg_receipt_time)::float8 FROM pg_stat_wal_receiver"


def receiver_heard_at(cluster: Cluster) -> float | None:
    """When the WAL receiver last heard from the primary (unix seconds); None where nothing is received."""
    try:
        with local(cluster) as connection:
            row = connection.execute(HEARD).fetchone()
            return row[0] if row else None
    except SecondsiteError:
        return None  # the first step will say what is wrong with the database


def in_recovery(cluster: Cluster) -> bool:
    """Is the local cluster a standby? Raises RetryableError where it does not answer."""
    with local(cluster) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        return bool(row and row[0])


async def under_way(cluster: Cluster, *, timeout_seconds: float) -> bool:
    """Is this cluster the primary, or has somebody asked it to become that? If so, waits for the end of recovery.

    Whoever asked may have died since; the server goes on with it. It tells only by what it refuses: no replay can be
    resumed once a promotion was triggered. Raises as ``promote``.
    """
    if not await apart(_asked, cluster):
        return False
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    async with elsewhere(cluster, step="promote") as connection:
        await _ended(connection, cluster, deadline, timeout_seconds)
    return True


def _asked(cluster: Cluster) -> bool:
    with local(cluster, step="promote") as connection:
        if (cluster.data / PROMOTE_FILE).exists() or connection.execute("SELECT pg_is_in_recovery()").fetchone() == (
            False,
        ):
            return True
        if connection.execute("SELECT pg_is_wal_replay_paused()").fetchone() == (True,):
            return False  # a promotion would have ended the pause
        try:
            connection.execute("SELECT pg_wal_replay_resume()")
        except psycopg.errors.ObjectNotInPrerequisiteState:
            return True  # "standby promotion is ongoing", or it has ended
    return False


async def promote(cluster: Cluster, *, timeout_seconds: float, last_word: Callable[[], None] | None = None) -> Promoted:
    """Promote and observe the end of recovery; returns as soon as the cluster accepts writes, and no commit hangs.

    ``pg_promote`` itself looks only ten times a second, so it is asked not to wait. last_word: called
    immediately before it is asked; what it raises keeps everything as it is. Raises FinalError
    (``promotion-refused``) where PostgreSQL does not begin, UnknownOutcomeError (``promotion-unseen``) where the
    end of recovery is not seen in time or the connection breaks.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    async with elsewhere(cluster, step="promote") as connection:
        # before the first write: whoever it names cannot stream from here yet
        await asking(connection, wait_for_nobody, connection)
        if last_word is not None:
            last_word()
        try:
            begun = (await asking(connection, connection.execute, "SELECT pg_promote(wait => false)")).fetchone()
            if not (begun and begun[0]):
                raise FinalError("pg_promote() said no", slug="promotion-refused", step="promote")
            await _ended(connection, cluster, deadline, timeout_seconds)
        except psycopg.OperationalError as broken:
            told = str(broken).strip().partition("\n")[0]
            raise UnknownOutcomeError(
                f"{cluster} went away during promotion: {told}",
                slug="promotion-unseen",
                step="promote",
                hint="look at the database's log (a full disk?); where it does not run, "
                f"systemctl start {cluster.unit}; then give the same command with --resume",
            ) from broken
        return await asking(connection, _promoted, connection)


async def _ended(connection: Bounded, cluster: Cluster, deadline: float, seconds: float) -> None:
    """Wait for the end of recovery."""
    while (await asking(connection, connection.execute, "SELECT pg_is_in_recovery()")).fetchone() == (True,):
        if asyncio.get_running_loop().time() > deadline:
            raise UnknownOutcomeError(
                f"{cluster} is still in recovery {seconds:g} s after it was asked to end it",
                slug="promotion-unseen",
                step="promote",
                hint="look at the database's log, then give the same command with --resume",
            )
        await asyncio.sleep(POLL_SECONDS)


def look(cluster: Cluster) -> Promoted:
    """What a promotion left, read from the running cluster; whoever asked for it, no commit hangs."""
    with local(cluster, step="promote") as connection:
        wait_for_nobody(connection)
        return _promoted(connection)


def _promoted(connection: psycopg.Connection[tuple[object, ...]]) -> Promoted:
    row = connection.execute(
        "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int,"
        " txid_snapshot_xmax(txid_current_snapshot())"  # where recovery ends: the next number
    ).fetchone()
    assert row is not None and isinstance(row[0], int) and isinstance(row[1], int)
    timeline, next_xid = row[0], row[1]
    history = connection.execute(
        "SELECT pg_read_file(%s, 0, 1000000, true)", (f"pg_wal/{timeline:08X}.history",)
    ).fetchone()
    return Promoted(timeline, switch_point(str(history[0]) if history and history[0] else ""), next_xid)


def switch_point(history: str) -> int:
    """Pure: where the last timeline of a history file begins, in bytes; 0 for the first timeline.

    A line is parent timeline, switch position and reason, separated by tabs.
    """
    lines = [line.split("\t") for line in history.splitlines() if line.strip() and not line.startswith("#")]
    return to_int(lines[-1][1]) if lines else 0


def prove_writable(cluster: Cluster, site: str, timeline: int) -> str:
    """Commit a row as a customer's would be and read it back from the disk's point of view; its time as text."""
    with local(cluster, step="prove", as_set=True) as connection:
        wait_for_nobody(connection)
        connection.execute("SET statement_timeout = '10s'")
        row = connection.execute(
            "INSERT INTO secondsite.heartbeat AS h (site, at, generation) VALUES (%s, clock_timestamp(), %s)"
            " ON CONFLICT (site) DO UPDATE SET at = excluded.at, generation = excluded.generation RETURNING h.at::text",
            (site, timeline),
        ).fetchone()
        assert row is not None
        return str(row[0])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that was prepared and that nobody has decided. at: as PostgreSQL writes it."""

    gid: str
    database: str
    owner: str
    at: str


def prepared_transactions(cluster: Cluster, next_xid: int | None = None) -> tuple[Prepared, ...]:
    """Those that came along with a promotion, the oldest first. next_xid: as it was then (``Promoted``); None: all.

    Their numbers tell, not their moments: those are the old primary's clock."""
    with local(cluster, step="look at prepared transactions") as connection:
        rows = connection.execute(
            "SELECT transaction::text::bigint, gid, database::text, owner::text, prepared::text FROM pg_prepared_xacts"
            " ORDER BY prepared, gid"
        ).fetchall()
    return tuple(Prepared(*row) for xid, *row in rows if next_xid is None or _is_before(xid, next_xid))


def _is_before(xid: int, bound: int) -> bool:
    """Pure: of the numbers modulo 2^32, as PostgreSQL compares them (transam.c, TransactionIdPrecedes)."""
    return 0 < (bound - xid) % 2**32 < 2**31


def create_slot(cluster: Cluster, name: str) -> None:
    """The slot through which the old primary will come back; none exists after a promotion."""
    with local(cluster, step="return slot") as connection:
        connection.execute(
            "SELECT pg_create_physical_replication_slot(%s, true)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
            (name, name),
        )


async def checkpoint(cluster: Cluster) -> None:
    """An immediate checkpoint, so that the control file shows the new timeline (a later rewind relies on it).

    It may take minutes, in a thread.
    """
    async with elsewhere(cluster, step="checkpoint") as connection:
        await asking(connection, connection.execute, "SET statement_timeout = 0")
        await in_thread(connection, "CHECKPOINT")


def resume_replay(cluster: Cluster) -> None:
    """Let a paused replay go on."""
    with local(cluster, step="resume replay") as connection:
        connection.execute("SELECT pg_wal_replay_resume()")
