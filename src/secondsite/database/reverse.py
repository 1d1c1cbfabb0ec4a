"""The way back: can this host's cluster follow the peer once the roles have changed?"""

from __future__ import annotations

import asyncio

from psycopg import pq

from secondsite.database import conffile
from secondsite.database.node import Node
from secondsite.database.settings import primary_conninfo
from secondsite.spec import Spec


async def problem(spec: Spec, site: str, system_identifier: str | None) -> str | None:
    """Why not, in words; None where a real replication connection to the peer answered as the same cluster.

    A standby accepts such connections too (manual 27.2.7), so the way back can be tried before anything moves.
    """
    node = Node.of(spec)
    wanted = primary_conninfo(
        spec, site, peer_address=str(spec.tunnel_address(spec.peer_of(site))), passfile=str(node.passfile)
    )
    try:
        ours = conffile.effective(conffile.parse(node.settings_file.read_text()))
    except OSError as missing:
        return f"{node.settings_file} cannot be read: {missing.strerror}"
    if ours.get("primary_conninfo") != wanted:
        return f"{node.settings_file} does not point to {spec.peer_of(site)} as the file says"
    return await asyncio.to_thread(_try, wanted, system_identifier)


def _try(wanted: str, system_identifier: str | None) -> str | None:
    line = pq.PGconn.connect(f"{wanted} replication=true".encode())
    try:
        if line.status != pq.ConnStatus.OK:
            return _first(line.error_message)
        told = line.exec_(b"IDENTIFY_SYSTEM")
        if told.status != pq.ExecStatus.TUPLES_OK:
            return _first(told.error_message)
        there = (told.get_value(0, 0) or b"").decode()
        return None if there == system_identifier else f"it is another cluster there ({there})"
    finally:
        line.finish()


def _first(message: bytes) -> str:
    rows = message.decode("utf-8", "replace").strip().splitlines()
    return rows[0] if rows else "no reason was given"
