"""What a former primary has that its successor never received: lost transactions, and the rows they left.

The commits stand in the old timeline's WAL behind the switch point (``old_wal``). Their rows are read from
the old cluster itself, started read-only: a row whose xmin is one of the lost transactions was inserted or changed by
it. A deleted row leaves nothing to read; its transaction is counted all the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from secondsite.clock import Clock, to_text
from secondsite.converge.write import atomically, sync_directory
from secondsite.database.cluster import Cluster
from secondsite.database.connect import asked, local
from secondsite.database.lsn import to_text as lsn_text
from secondsite.database.node import PASSFILE
from secondsite.database.old_wal import Commit, OnlyHere
from secondsite.database.reader import reader
from secondsite.database.touched import Touched

TABLE_SECONDS = 3600
ROWS_A_PAGE = 291  # MaxHeapTuplesPerPage of pages of 8 kB (htup_details.h)
FEW = 20  # a page by its places costs about as much as so many in their order
OWN_SCHEMA = "secondsite"  # the heartbeat: lost each second of an outage, and nobody's work
_TABLES = """
SELECT n.nspname, c.relname, pg_relation_filenode(c.oid)::bigint,
       pg_relation_size(c.oid) / current_setting('block_size')::int
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence = 'p'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', %s)
 ORDER BY 1, 2
"""
_ALL_PAGES = "SELECT t.xmin::text::bigint, to_jsonb(t) FROM ONLY {} t WHERE t.xmin = ANY(%s::xid[])"
_SOME_PAGES = f"""
SELECT t.xmin::text::bigint, to_jsonb(t)
  FROM unnest(%s::bigint[]) page, generate_series(1, {ROWS_A_PAGE}) place, ONLY {{}} t
 WHERE t.ctid = format('(%%s,%%s)', page, place)::tid AND t.xmin = ANY(%s::xid[])
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written down: number of lost commits and rows, first and last commit's time, and the folder."""

    commits: int
    rows: int
    first_at: str | None
    last_at: str | None
    folder: Path


def rows(
    cluster: Cluster, lost: Sequence[Commit], secret: Path = PASSFILE, *, touched: Touched | None = None
) -> Iterator[dict[str, Any]]:
    """Each row a lost transaction left, as ``{database, schema, table, lsn, at, row}``; the cluster answers read-only.

    They are read as the reading role (``reader``), whose password stands in ``secret``. Transaction numbers are
    compared modulo 2^32, as they stand in the rows. touched: only these pages are read; None: every table, whole.
    Raises SecondsiteError.
    """
    by_xid = {xid % 2**32: commit for commit in lost for xid in commit.xids}
    if not by_xid:
        return
    xids = f"{{{','.join(map(str, by_xid))}}}"
    with local(cluster) as connection:
        databases = connection.execute(
            "SELECT oid::bigint, datname FROM pg_database WHERE datallowconn AND datname <> 'template1' ORDER BY 2"
        ).fetchall()
    for oid, database in databases:
        if touched is not None and not any(where == oid for where, _ in touched):
            continue
        with asked(cluster, "lost rows"), reader(cluster, database, step="lost rows", secret=secret) as connection:
            connection.allow(TABLE_SECONDS)
            for schema, table, file, count in connection.execute(_TABLES, (OWN_SCHEMA,)).fetchall():
                pages = None if touched is None else touched.get((oid, file), frozenset())
                for xid, row in _of_table(connection, sql.Identifier(schema, table), xids, pages, count):
                    commit = by_xid[xid]
                    yield {
                        "database": database, "schema": schema, "table": table, "lsn": commit.lsn, "at": commit.at,
                        "row": row,
                    }  # fmt: skip


def _of_table(
    connection: psycopg.Connection[Any], table: sql.Identifier, xids: str, pages: frozenset[int] | None, count: int
) -> Iterator[tuple[int, Any]]:
    """Rows of these transactions in a table of ``count`` pages; all of its pages where so many are named.

    The numbers are compared as they are, and given as one array of their type: so the server looks each up by its hash
    (ScalarArrayOpExpr of a constant array, since version 14).
    """
    if pages is not None and not pages:
        return
    some = pages is not None and len(pages) * FEW <= count
    query = sql.SQL(_SOME_PAGES if some else _ALL_PAGES).format(table)
    with connection.transaction(), connection.cursor() as cursor:
        if some:  # else it may reckon that reading the whole table is cheaper than so many places in it
            for method in ("seqscan", "hashjoin", "mergejoin"):
                connection.execute(f"SET LOCAL enable_{method} = off")
        yield from cursor.stream(query, (*((sorted(pages or ()),) if some else ()), xids))


def write(
    cluster: Cluster,
    found: OnlyHere,
    folder: Path,
    clock: Clock,
    *,
    generation: int,
    secret: Path = PASSFILE,
    touched: Touched | None = None,
    unread: bool = False,
) -> Kept:
    """Write commits and rows below ``folder``, readable by root only, durably; what was written. touched: as in
    ``rows``. unread: the cluster cannot be asked for its rows. Raises OSError, SecondsiteError."""
    place = folder / clock.now().strftime("%Y%m%dT%H%M%SZ")
    place.mkdir(parents=True, mode=0o700)
    count, lost = 0, found.commits
    with os.fdopen(os.open(place / "rows.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        for row in () if unread else rows(cluster, lost, secret, touched=touched):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    kept = Kept(len(lost), count, lost[0].at if lost else None, lost[-1].at if lost else None, place)
    summary = {
        "written_at": to_text(clock.now()),
        **_what(found, generation),
        "complete": found.complete,
        **{key: value for key, value in asdict(kept).items() if key != "folder"},
    }
    atomically(place / "lost.json", json.dumps(summary, indent=1).encode(), mode=0o600)
    sync_directory(place)
    return kept


def written(folder: Path, found: OnlyHere, *, generation: int) -> Kept | None:
    """What an earlier run has written of the very same transactions: who died right behind it must not count them
    twice. None where there is no such record, or none that can be read."""
    same = json.loads(json.dumps(_what(found, generation)))
    for summary in folder.glob("*/lost.json"):
        try:
            told = json.loads(summary.read_text())
        except (OSError, ValueError):
            continue  # written anew
        if all(told.get(key) == value for key, value in same.items()):
            return Kept(told["commits"], told["rows"], told["first_at"], told["last_at"], summary.parent)
    return None


def _what(found: OnlyHere, generation: int) -> dict[str, Any]:
    """What makes a record the same as another one: the generation, where the successor left it, what came behind."""
    return {
        "generation": generation,
        "since": lsn_text(found.since),
        "transactions": [asdict(commit) for commit in found.commits],
        "prepared": [asdict(one) for one in found.prepared],
    }
