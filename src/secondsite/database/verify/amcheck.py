"""pg_amcheck at the standby: are pages, rows and B-tree indexes sound in themselves?

On a standby only what takes no lock beyond AccessShareLock can run (manual F.1): verify_heapam for tables and TOAST,
bt_index_check for B-tree indexes. ``--parent-check`` cannot. A replicated index is a copy of the primary's pages, so
what is broken there is broken here; what is broken here alone is this host's disk or memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.node import owner
from secondsite.database.verify.model import Outcome, Table
from secondsite.database.verify.reading import reading
from secondsite.process import run

STATEMENT_SECONDS = 120
PROGRAM_SECONDS = 3600.0
_THERE = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')"
_NO_FAULT = re.compile(r"canceling statement|could not obtain lock|canceling statement due to conflict", re.IGNORECASE)
_HEADER = re.compile(r"^(?:heap table|btree index|sequence) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Corruption:
    """Something that pg_amcheck said about an object."""

    where: str
    what: str


def installed(cluster: Cluster, database: str) -> bool:
    """Whether the database has the extension. psycopg.Error is the caller's."""
    with reading(cluster, database) as connection:
        row = connection.execute(_THERE).fetchone()
    return bool(row and row[0])


Answer = tuple[Outcome, tuple[Corruption, ...], str]


async def check(cluster: Cluster, database: str, tables: Sequence[Table]) -> Answer:
    """What is broken in these tables, their indexes and TOAST; and what it said, where it could not look.

    Raises RetryableError (``program-timeout``), FinalError (``program-missing``).
    """
    argv = [cluster.program("pg_amcheck"), "--host", str(cluster.socket_directory), "--port", str(cluster.port)]
    argv += ["--username", OWNER, "--no-password", "--jobs=1", "--no-strict-names", "--database", pattern(database)]
    for table in tables:
        argv += ["--table", f"{pattern(table.schema)}.{pattern(table.name)}"]
    options = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout=1s -c lc_messages=C"
    done = await run(argv, timeout=PROGRAM_SECONDS, user=owner(), env={"PGOPTIONS": options}, check=False)
    return read(done.code, done.stdout, done.stderr)


def pattern(name: str) -> str:
    """A name as psql's patterns take it literally (manual, psql, Patterns)."""
    return '"' + name.replace('"', '""') + '"'


def read(code: int, stdout: str, stderr: str) -> Answer:
    """Pure: what pg_amcheck's answer means. It ends with 2 for a corruption and for a cancelled statement alike."""
    said = [line for line in stdout.splitlines() if line.strip()]
    found: list[Corruption] = []
    where, ended = "", ""
    for line in said:
        if _HEADER.match(line):
            where = line.rstrip().removesuffix(":")
        elif _NO_FAULT.search(line):
            ended = line.strip()
        elif where and not line.lstrip().startswith(("DETAIL", "HINT", "CONTEXT", "query was")):
            found.append(Corruption(where, line.strip()))
    if found:
        return Outcome.DIFFERENT, tuple(found), ""
    if ended:
        return Outcome.BUSY, (), ended
    if code:
        told = [line for line in stderr.splitlines() if line.strip()]
        return Outcome.UNKNOWN, (), told[-1].strip() if told else f"pg_amcheck ended with {code}"
    return Outcome.EQUAL, (), ""
