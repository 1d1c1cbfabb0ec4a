"""Shut the database to all but replication, its owner and our reader, and open it again: a block on pg_hba.conf's top.

The first matching line decides (manual 21.1), and ``all`` as a database does not mean replication. A session that is
there already is not asked again, so it is ended. ``default_transaction_read_only`` would be no door: any session may
set it back.
"""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from secondsite.converge.block import with_block
from secondsite.converge.write import atomically
from secondsite.database.bounded import asking
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.connect import elsewhere, local
from secondsite.database.settings import READER_ROLE

LABEL = "closed while the service moves"
LINES = (
    f"local   all   {OWNER}   peer\nlocal   all   {READER_ROLE}   scram-sha-256\n"
    "local   all   all   reject\nhost   all   all   all   reject"
)
EMPTY_SECONDS = 2.0
POLL_SECONDS = 0.01
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND application_name NOT IN ('secondsite', 'secondsite-agent')
"""


def lock(cluster: Cluster) -> None:
    """Put the block into the file. It counts from the next reload on, or the next start."""
    _write(cluster, LINES)


async def shut(cluster: Cluster) -> int:
    """Have the running server read the locked file, and end every session that is there; how many there were.

    Superusers of this host can still come in: what they write until the stop is replicated like everything else.
    """
    ended, empty = 0, 0
    deadline = asyncio.get_running_loop().time() + EMPTY_SECONDS
    async with elsewhere(cluster, step="close the database") as connection:
        await asking(connection, connection.execute, "SELECT pg_reload_conf()")
        while empty < 2 and asyncio.get_running_loop().time() < deadline:  # the postmaster may be a moment behind
            gone = (await asking(connection, connection.execute, _END)).rowcount
            ended, empty = ended + gone, 0 if gone else empty + 1
            await asyncio.sleep(POLL_SECONDS)
    return ended


def is_shut(cluster: Cluster) -> bool:
    """Does the file keep everybody out?"""
    return LABEL in _read(_file(cluster))


def unlock(cluster: Cluster) -> bool:
    """Take the block out of the file; whether there was one. A server that runs learns of it by ``reload``."""
    if not is_shut(cluster):
        return False
    _write(cluster, "")
    return True


def reload(cluster: Cluster) -> None:
    """Have the running server read its files again."""
    with local(cluster, step="open the database") as connection:
        connection.execute("SELECT pg_reload_conf()")


def _write(cluster: Cluster, body: str) -> None:
    path = _file(cluster)
    found, now = _read(path), path.stat()
    wanted = with_block(found, body, LABEL, place="top")
    if wanted != found:
        content = wanted.encode("utf-8", "surrogateescape")
        atomically(path, content, mode=stat.S_IMODE(now.st_mode), owner=now.st_uid, group=now.st_gid)


def _read(path: Path) -> str:
    return path.read_text(errors="surrogateescape") if path.exists() else ""


def _file(cluster: Cluster) -> Path:
    return cluster.config / "pg_hba.conf"
