"""Make sure the local cluster accepts no more writes: stop it, and make an accidental start harmless."""

from __future__ import annotations

from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.delayed.release import release
from secondsite.database.follow import cut_off
from secondsite.errors import FinalError, RetryableError
from secondsite.process import run

STOP_SECONDS = 60.0
OURS = "secondsite"


def mark_standby(cluster: Cluster, why: str) -> None:
    """Put standby.signal there, durably: from now on a start is read-only (PostgreSQL manual 27.2).

    One that is there already is a standby's own, and stays as it is.
    """
    signal = cluster.data / "standby.signal"
    if signal.exists() and not marked_by_us(cluster):
        return
    # Its draft has a name of its own: the guard at the start of the database may be writing the same file.
    atomically(signal, f"{OURS}: {why}\n".encode(), mode=0o600, owner=OWNER)


def hold(cluster: Cluster, why: str) -> None:
    """Have a *stopped* cluster start read-only and follow nobody, durably.

    A former primary knows from its time before whom to follow. Were it to stream by itself as soon as the other site
    lets it in, whoever takes it back would find it changed between the look and the act; and a server that is stopped
    while it receives the first segment of a new timeline may refuse to start again ("previous recovered WAL file came
    from timeline", xlogrecovery.c, WaitForWALToBecomeAvailable).
    """
    mark_standby(cluster, why)
    cut_off(cluster.data)


def marked_by_us(cluster: Cluster) -> bool:
    """Is there a standby.signal that we have put there (and not a person, or a base backup)?"""
    try:
        return (cluster.data / "standby.signal").read_text().startswith(f"{OURS}:")
    except OSError:
        return False


def unmark(cluster: Cluster) -> None:
    """Remove our standby.signal, nobody else's."""
    if marked_by_us(cluster):
        (cluster.data / "standby.signal").unlink()


def postmaster_runs(cluster: Cluster) -> bool:
    """Is there a living postmaster of this data directory?"""
    try:
        pid = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return False
    return Path(f"/proc/{pid}").exists()


async def stop(cluster: Cluster) -> None:
    """Stop the cluster: fast, then immediate. Success is that no postmaster is left, not an exit code.

    Raises FinalError (``database-still-runs``) where one survives both.
    """
    if postmaster_runs(cluster):
        await release(cluster)
    try:
        await run(["systemctl", "stop", cluster.unit], timeout=STOP_SECONDS, check=False, step="stop database")
    except RetryableError:
        pass  # a stop that hangs is answered by the immediate one below
    if postmaster_runs(cluster):
        await run(
            [cluster.program("pg_ctl"), "stop", "-D", str(cluster.data), "-m", "immediate", "-w", "-t", "20"],
            timeout=30,
            user=OWNER,
            check=False,
            step="stop database",
        )
    if postmaster_runs(cluster):
        raise FinalError(
            f"the postmaster of {cluster} is still there after a fast and an immediate stop",
            slug="database-still-runs",
            step="stop database",
            hint="power the host off",
        )
