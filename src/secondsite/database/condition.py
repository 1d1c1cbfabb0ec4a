"""What changes seldom and costs more than a glance to know: asked once a minute, judged by readiness.

Each site reports about itself, so a standby's answers come from the standby's own libraries, files and clock.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.database.cluster import Cluster
from secondsite.database.connect import local
from secondsite.database.logical import LogicalSlots, look
from secondsite.errors import SecondsiteError
from secondsite.process import run

OPENSSL_SECONDS = 5.0
# recorded: the collation the indexes were built with; actual: what this host's libraries have (manual 24.2.2)
_COLLATIONS = """
SELECT datname, datcollversion, actual FROM pg_database, LATERAL pg_database_collation_actual_version(oid) actual
 WHERE datcollversion IS DISTINCT FROM actual AND datcollversion IS NOT NULL AND datallowconn ORDER BY 1
"""
# The same for a collation of its own that an index uses (COLLATE, or a column's): the database's says nothing of it.
_INDEX_COLLATIONS = """
SELECT DISTINCT collname, collversion, actual
  FROM (SELECT DISTINCT unnest(indcollation::oid[]) AS used FROM pg_index) indexes
  JOIN pg_collation c ON c.oid = used, LATERAL pg_collation_actual_version(c.oid) actual
 WHERE collversion IS NOT NULL AND collversion IS DISTINCT FROM actual ORDER BY 1
"""
# The catalog's version is the primary's; the files are this host's. A newer package may know an old version only as one
# to update from. pg_extension_update_paths fails without a control file, so it is asked behind the name.
_EXTENSIONS = """
SELECT CASE WHEN named THEN extname || ' ' || extversion ELSE extname END
  FROM (SELECT *, extname IN (SELECT name FROM pg_available_extensions) AS named FROM pg_extension) used
 WHERE CASE WHEN NOT named THEN true
            WHEN (extname, extversion) IN (SELECT name, version FROM pg_available_extension_versions) THEN false
            ELSE extversion NOT IN (SELECT source FROM pg_extension_update_paths(extname)) END
 ORDER BY 1
"""
# What functions in C are loaded from (PostgreSQL manual, C-Language Functions): files of this host; the catalog
# has only their names.
_LIBRARIES = """
SELECT DISTINCT probin, (SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'),
       current_setting('dynamic_library_path')
  FROM pg_proc WHERE probin <> '' ORDER BY 1
"""
_TABLESPACES = "SELECT spcname, path FROM pg_tablespace, pg_tablespace_location(oid) path WHERE path <> '' ORDER BY 1"
# A line that is no setting makes a reload apply nothing, although pg_reload_conf() says true, and keeps the server from
# starting (guc-file.l). "could not be applied" is no such line: a change that waits for a restart reads so, too.
_REFUSED_LINES = """
SELECT coalesce(sourcefile, '') || ' line ' || coalesce(sourceline, 0) || ': ' || error FROM pg_file_settings
 WHERE error <> 'setting could not be applied' ORDER BY seqno LIMIT 3
"""
_STATE = """
SELECT current_setting('server_version_num')::int,
       coalesce(current_setting('allow_alter_system', true), 'on') = 'on',
       current_setting('recovery_min_apply_delay'),
       CASE WHEN current_setting('ssl') = 'on' THEN current_setting('ssl_cert_file') END,
       current_setting('data_directory'),
       (SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
       (SELECT array_agg(gid ORDER BY prepared) FROM pg_prepared_xacts
         WHERE prepared < clock_timestamp() - interval '1 minute'),
       (SELECT CASE WHEN current_setting('archive_mode') <> 'off'
                     AND last_failed_time > coalesce(last_archived_time, '-infinity')
                    THEN extract(epoch FROM last_failed_time)::float8 END FROM pg_stat_archiver),
       CASE WHEN current_setting('archive_mode') <> 'off'
            THEN (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') ELSE 0 END,
       (SELECT json_agg(json_build_array(rolname, extract(epoch FROM rolvaliduntil)::float8) ORDER BY rolvaliduntil)
          FROM pg_roles WHERE rolcanlogin AND rolvaliduntil < clock_timestamp() + interval '30 days')
"""


@dataclass(frozen=True, slots=True)
class Expiry:
    """A password or a certificate that ends within the next 30 days, or has ended. at: unix seconds."""

    what: str
    at: float


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A tablespace outside the data folder. free_bytes: room on its disk, None where its folder is not there."""

    name: str
    path: str
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Condition:
    """One cluster, at ``taken_at`` (unix seconds). Empty and zero mean that nothing is wrong there.

    collations: databases, or "database, collation", whose indexes were built with other rules than this host has, with
    both versions.
    extensions: "database: extension" that this host has no files for, with its version where only that is
    missing; "database: library NAME" where functions in C would not find theirs. alter_system: allow_alter_system is
    not off (17 and newer). settings_held: why nothing could be changed although it is not: postgresql.auto.conf cannot
    be written, or a line of a file makes every reload apply nothing. apply_delay: recovery_min_apply_delay as
    PostgreSQL shows it. transaction_seconds: age of the oldest open one. prepared: older than a minute.
    archive_failed_at: since then nothing was archived. archive_waiting: WAL files to be archived. logical: the
    logical slots here.
    """

    taken_at: float
    collations: tuple[tuple[str, str, str | None], ...] = ()
    extensions: tuple[str, ...] = ()
    alter_system: bool = True
    settings_held: tuple[str, ...] = ()
    apply_delay: str = "0"
    transaction_seconds: float = 0.0
    prepared: tuple[str, ...] = ()
    archive_failed_at: float | None = None
    archive_waiting: int = 0
    expiries: tuple[Expiry, ...] = ()
    logical: LogicalSlots = field(default_factory=LogicalSlots)
    inodes_free: int | None = None
    inodes_total: int | None = None
    tablespaces: tuple[Tablespace, ...] = ()


async def condition(cluster: Cluster, now: float) -> Condition | None:
    """The cluster now; None where it does not answer (which ``observe`` tells already)."""
    try:
        found, certificate = await asyncio.to_thread(_ask, cluster, now)
    except SecondsiteError:
        return None
    ends = await _certificate_ends(certificate) if certificate is not None else None
    if ends is not None and ends.at < now + 30 * 86400:
        found["expiries"] = (*found["expiries"], ends)
    return Condition(taken_at=now, **found)


def _ask(cluster: Cluster, now: float) -> tuple[dict[str, Any], Path | None]:
    with local(cluster, step="condition") as connection:
        row = connection.execute(_STATE).fetchone()
        assert row is not None
        version, alterable, delay, certificate, data, oldest, prepared, failed_at, waiting, roles = row
        collations = connection.execute(_COLLATIONS).fetchall() if version >= 150000 else []
        logical = look(connection)
        refused = [text for (text,) in connection.execute(_REFUSED_LINES)]
        places = connection.execute(_TABLESPACES).fetchall()
        databases = [name for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datallowconn")]
    disk = os.statvfs(data)
    inside = [_inside(cluster, database) for database in databases]
    return {
        "collations": (
            *((name, recorded, actual) for name, recorded, actual in collations),
            *(one for collations_of_indexes, _ in inside for one in collations_of_indexes),
        ),
        "extensions": tuple(text for _, missing in inside for text in missing),
        "alter_system": alterable,
        "settings_held": (*_held(Path(data)), *refused),
        "apply_delay": delay,
        "transaction_seconds": max(0.0, oldest or 0.0),
        "prepared": tuple(prepared or ()),
        "archive_failed_at": failed_at,
        "archive_waiting": waiting,
        "expiries": tuple(Expiry(f"the password of role {name}", at) for name, at in roles or ()),
        "logical": logical,
        "inodes_free": disk.f_favail if disk.f_files else None,
        "inodes_total": disk.f_files or None,
        "tablespaces": tuple(Tablespace(name, path, _free(path)) for name, path in places),
    }, Path(data) / certificate if certificate else None


def _held(data: Path) -> tuple[str, ...]:
    """Why the server could not write down what ALTER SYSTEM changes; it makes the file itself where there is none."""
    file = data / "postgresql.auto.conf"
    if not file.exists():
        return ()
    seen, owner = file.stat(), data.stat().st_uid
    needed = 0o600 if seen.st_uid == owner else 0o006
    if seen.st_mode & needed != needed:
        return (f"the server may not write {file} (uid {seen.st_uid}, mode {seen.st_mode & 0o7777:o})",)
    if os.geteuid() in (0, owner) and not os.access(file, os.W_OK):  # not even root may
        return (f"{file} is immutable (lsattr shows it), or its file system read-only",)
    return ()


def _free(path: str) -> int | None:
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _inside(cluster: Cluster, database: str) -> tuple[list[tuple[str, str, str | None]], list[str]]:
    """What only a connection to the database itself shows: collations of its indexes, and missing extensions."""
    with local(cluster, database, step="condition") as connection:
        collations = connection.execute(_INDEX_COLLATIONS).fetchall()
        missing = [f"{database}: {name}" for (name,) in connection.execute(_EXTENSIONS)]
        libraries = connection.execute(_LIBRARIES).fetchall()
    missing += [f"{database}: library {name}" for name, own, search in libraries if not _there(name, own, search)]
    return [(f"{database}, collation {name},", recorded, actual) for name, recorded, actual in collations], missing


def _there(library: str, own: str, search: str) -> bool:
    """Whether the server would find it: as it is, or with .so. own: what $libdir stands for. search: folders for a name
    without one."""
    folders = [""] if "/" in library else [f"{folder}/" for folder in search.split(":")]
    places = [f"{folder}{library}".replace("$libdir", own, 1) for folder in folders]
    return any(Path(place + ending).is_file() for place in places for ending in ("", ".so"))


async def _certificate_ends(path: Path) -> Expiry | None:
    """When the server's certificate ends, as openssl says; None where that cannot be told."""
    try:
        done = await run(["openssl", "x509", "-enddate", "-noout", "-in", str(path)], timeout=OPENSSL_SECONDS)
        text = done.stdout.strip().removeprefix("notAfter=")
        at = datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).timestamp()
    except (SecondsiteError, ValueError):
        return None
    return Expiry(f"the certificate {path}", at)
