"""Have the server read its files, and see that it did."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg

from secondsite.database.bounded import apart
from secondsite.database.connect import local
from secondsite.database.control import POLL_SECONDS
from secondsite.database.node import Node
from secondsite.errors import FinalError

SEEN_SECONDS = 10


def is_loaded(connection: psycopg.Connection[Any], path: Path) -> bool:
    """Whether the server has read its files since ``path`` last changed."""
    row = connection.execute("SELECT extract(epoch FROM pg_conf_load_time())::float8").fetchone()
    return row is not None and row[0] >= path.stat().st_mtime


async def reload(node: Node, *, step: str) -> None:
    """Reload, and wait until new sessions see it. Raises FinalError (slug ``not-reloaded``)."""
    before = await apart(_loaded_at, node, step)
    await node.control.reload()
    for _ in range(int(SEEN_SECONDS / POLL_SECONDS)):
        if await apart(_loaded_at, node, step) > before:
            return
        await asyncio.sleep(POLL_SECONDS)
    raise FinalError(
        f"{node.cluster} did not read its files again within {SEEN_SECONDS} s", slug="not-reloaded", step=step
    )


def _loaded_at(node: Node, step: str) -> float:
    with local(node.cluster, step=step) as connection:
        row = connection.execute("SELECT extract(epoch FROM pg_conf_load_time())::float8").fetchone()
        return float(row[0]) if row else 0.0
