"""End the connection of the delayed standby just before its source is stopped.

A fast shutdown waits until every walsender has sent everything and was answered (manual 19.5). One that catches up an
hour would hold up a switchover, or a fence. It comes back by itself, and its slot keeps what it still needs.
"""

from __future__ import annotations

import os

from secondsite import process
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.delayed.place import SLOT
from secondsite.errors import SecondsiteError

RELEASE_SECONDS = 1.0
_END = f"SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = '{SLOT}'"


async def release(cluster: Cluster) -> bool:
    """Whether the server was told; False where it keeps no such slot, or does not answer in time. Never an error.

    A program of its own asks, because it can be ended whatever the server does, a frozen one too.
    """
    if not (cluster.data / "pg_replslot" / SLOT).exists():
        return False
    argv = [cluster.program("psql"), "-XAtqw", "-h", str(cluster.socket_directory), "-p", str(cluster.port)]
    user = OWNER if os.geteuid() == 0 else None
    try:
        done = await process.run(
            [*argv, "-U", OWNER, "-d", "postgres", "-c", _END], timeout=RELEASE_SECONDS, user=user, check=False
        )
    except SecondsiteError:
        return False  # what is stopped next is waited for within bounds, with or without this
    return done.ok
