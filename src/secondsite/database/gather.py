"""Collect this host's facts about the database; changes nothing and never fails for a host without PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from secondsite import process
from secondsite.converge.block import with_block
from secondsite.database.cluster import Cluster
from secondsite.database.connect import local
from secondsite.database.controldata import ControlData, read
from secondsite.database.facts import ClusterLine, Collation, HostFacts
from secondsite.database.hba import LABEL
from secondsite.database.lsn import to_int
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.settings import DEFAULTS, FILE
from secondsite.errors import SecondsiteError
from secondsite.spec import Spec

CONFIG_NAMES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "environment", "pg_ctl.conf", "start.conf")
SETTINGS = (
    *DEFAULTS, "archive_mode", "block_size", "data_directory", "full_page_writes", "hba_file", "max_slot_wal_keep_size",
    "server_version", "shared_preload_libraries", "synchronous_standby_names", "wal_level", "wal_log_hints",
)  # fmt: skip
_COLLATIONS = """
SELECT datname, datcollate, datcollversion, pg_database_collation_actual_version(oid) FROM pg_database
 WHERE datname <> 'template0' ORDER BY datname
"""
_TABLESPACES = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE oid > 1664 ORDER BY 1"
_HISTORY = """
SELECT pg_read_file(format('pg_wal/%%s.history', lpad(upper(to_hex(%s::int)), 8, '0')), 0, 1048576, true)
"""
_OLDEST = "SELECT min(substr(name, 9)) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"


async def gather(spec: Spec, site: str, *, node: Node | None = None) -> HostFacts:
    """The facts now, as ``site``. What cannot be seen (a stopped server's settings) is left at its default."""
    node = node or Node.of(spec)
    cluster = node.cluster
    control, clusters, locales = await asyncio.gather(_control(cluster), _clusters(), _locales())
    state = observe(cluster)
    facts: dict[str, Any] = {
        "site": site,
        "role": state.role.value,
        "clusters": clusters,
        "versions": _versions(),
        "config_files": config_files(cluster),
        "disk_free_bytes": shutil.disk_usage(existing(cluster.data)).free,
        "locales": locales,
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "",
        "extensions_available": _available(cluster.version),
        "passfile": node.passfile.exists(),
    }
    if control is not None:
        facts |= {
            "system_identifier": control.system_identifier,
            "timeline": state.timeline or control.generation,
            "state": control.state,
            "data_checksums": control.checksums,
            "wal_segment_bytes": control.wal_segment_bytes,
        }
        try:
            with local(cluster) as connection:
                facts |= _ask(connection, control.wal_segment_bytes)
                facts["forks"] = forks(connection.execute(_HISTORY, (facts["timeline"],)).fetchone())
            facts["extensions"] = _extensions(cluster)
        except SecondsiteError:
            facts["data_bytes"] = size(cluster.data)
    return HostFacts(**facts)


def forks(row: Sequence[str | None] | None) -> tuple[tuple[int, int], ...]:
    """Each line of a timeline history file: the timeline that was left, and where (manual 27.3.4). Pure."""
    words = (line.split() for line in ((row[0] if row else None) or "").splitlines())
    return tuple((int(parts[0]), to_int(parts[1])) for parts in words if len(parts) >= 2 and parts[0].isdigit())


def config_files(cluster: Cluster) -> Mapping[str, str]:
    """Name to text of the cluster's configuration, our file and our block left out."""
    found = {}
    confs = sorted((cluster.config / "conf.d").glob("*.conf"))
    for path in (*(cluster.config / name for name in CONFIG_NAMES), *confs):
        if path.name == FILE or not path.is_file():
            continue
        text = path.read_text(errors="surrogateescape")
        found[str(path.relative_to(cluster.config))] = (
            with_block(text, "", LABEL) if path.name == "pg_hba.conf" else text
        )
    return found


def existing(path: Path) -> Path:
    """The nearest folder above (or at) ``path`` that is there."""
    while not path.exists():
        path = path.parent
    return path


def size(folder: Path) -> int:
    """Bytes on disk below a folder, links not followed; what vanishes meanwhile counts as nothing."""
    total = 0
    for base, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(base) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


async def _control(cluster: Cluster) -> ControlData | None:
    try:
        return await read(cluster) if (cluster.data / "PG_VERSION").exists() else None
    except SecondsiteError:
        return None


def _ask(connection: psycopg.Connection[Any], segment: int) -> dict[str, Any]:
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(SETTINGS),)
    ).fetchall()
    return {
        "settings": dict(rows),
        "data_bytes": _one(connection, "SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace"),
        "tablespaces": tuple(row[0] for row in connection.execute(_TABLESPACES).fetchall()),
        "oldest_wal": _wal_start(_one(connection, _OLDEST), segment),
        "collations": tuple(Collation(*row) for row in connection.execute(_COLLATIONS).fetchall()),
    }


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _wal_start(name: str | None, segment: int) -> int | None:
    """The position at which a WAL file begins; ``name`` without its timeline."""
    return None if name is None else to_int(f"{name[:8]}/0") + int(name[8:], 16) * segment


def _extensions(cluster: Cluster) -> tuple[str, ...]:
    """Every extension that a database uses; a database that refuses connections is passed over."""
    names: set[str] = set()
    with local(cluster) as connection:
        databases = connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
    for (database,) in databases:
        with local(cluster, database) as connection:
            names |= {row[0] for row in connection.execute("SELECT extname FROM pg_extension").fetchall()}
    return tuple(sorted(names))


def _available(version: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in Path(f"/usr/share/postgresql/{version}/extension").glob("*.control")))


def _versions() -> tuple[str, ...]:
    return tuple(sorted(path.parent.parent.name for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")))


async def _clusters() -> tuple[ClusterLine, ...]:
    """From pg_lsclusters (postgresql-common); none where that is not installed."""
    try:
        done = await process.run(["pg_lsclusters", "--no-header"], timeout=10, check=False)
    except SecondsiteError:
        return ()
    rows = (row.split() for row in done.stdout.splitlines())
    return tuple(ClusterLine(row[0], row[1], int(row[2]), row[3], row[5]) for row in rows if len(row) >= 6)


async def _locales() -> tuple[str, ...]:
    try:
        return tuple((await process.run(["locale", "-a"], timeout=10, check=False)).stdout.split())
    except SecondsiteError:
        return ()
