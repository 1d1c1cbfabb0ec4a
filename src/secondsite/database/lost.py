"""What a former primary has that its successor never received: lost transactions, and the rows they left.

The commits stand in the old timeline's WAL behind the switch point (``pg_waldump``, manual). Their rows are read from
the old cluster itself, started read-only: a row whose xmin is one of the lost transactions was inserted or changed by
it. A deleted row leaves nothing to read; its transaction is counted all the same.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from secondsite import process
from secondsite.clock import Clock, to_text
from secondsite.converge.write import atomically, sync_directory
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.connect import asked, local
from secondsite.database.controldata import ControlData
from secondsite.database.controldata import read as read_control
from secondsite.database.lsn import to_text as lsn_text
from secondsite.database.node import PASSFILE
from secondsite.database.reader import reader
from secondsite.database.touched import Touched, read
from secondsite.errors import FinalError, SecondsiteError

READ_SECONDS = 600
TABLE_SECONDS = 3600
ROWS_A_PAGE = 291  # MaxHeapTuplesPerPage of pages of 8 kB (htup_details.h)
FEW = 20  # a page by its places costs about as much as so many in their order
OWN_SCHEMA = "secondsite"  # the heartbeat: lost each second of an outage, and nobody's work
_COMMIT = re.compile(
    r"rmgr: Transaction .*?, tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.* desc: COMMIT"
    r"(?:_PREPARED (?P<prepared>\d+):)? "  # the record is nobody's then: tx is 0 (xactdesc.c, xact_desc_commit)
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC(?P<rest>.*)"
)
_SUBXACTS = re.compile(r"subxacts:((?: \d+)+)")
_ENDS = (
    "invalid record length", "could not find a valid record", "could not find file", "out-of-sequence",
    "unexpected pageaddr", "incorrect resource manager data", "record with incorrect prev-link",
    "invalid magic number", "could not read from log", "invalid resource manager ID",
)  # fmt: skip
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
class Commit:
    """A lost transaction. at: UTC, as the old primary's clock had it. xids: its own and its subtransactions'."""

    lsn: str
    at: str
    xids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written down: number of lost commits and rows, first and last commit's time, and the folder."""

    commits: int
    rows: int
    first_at: str | None
    last_at: str | None
    folder: Path


async def commits(cluster: Cluster, timeline: int, since: int) -> tuple[Commit, ...]:
    """Every commit on ``timeline`` behind the position ``since``, in order; none where no WAL was written there.

    Raises FinalError (``wal-unreadable``) where pg_waldump cannot even begin although there is WAL, and where there
    was WAL and it was removed: a primary that went on for long does so once its slot is given up.
    """
    wal = cluster.data / "pg_wal"
    # Without a first file it learns the size of a segment from whichever comes first in the folder (pg_waldump.c,
    # search_directory), and that may be one that a full disk has left allocated and empty.
    control = await read_control(cluster)
    first = segment(timeline, since, control.wal_segment_bytes)
    if not (wal / first).exists() and control.checkpoint_lsn >= since:  # nothing behind a checkpoint is removed
        raise FinalError(
            f"the old WAL behind {lsn_text(since)} is not here any more ({first}): what was lost cannot be counted",
            slug="wal-unreadable",
            step="lost",
        )
    done = await process.run(
        [*_waldump(cluster, timeline, since, control.wal_segment_bytes), "--rmgr=Transaction"],
        timeout=READ_SECONDS,
        env={"TZ": "UTC"},
        user=OWNER if os.geteuid() == 0 else None,
        check=False,
    )
    found = parse(done.stdout)
    if not found and not done.ok and not _is_the_end(done.stderr):
        raise FinalError(
            f"the old WAL behind {lsn_text(since)} cannot be read: {done.why()}", slug="wal-unreadable", step="lost"
        )
    return found


def _waldump(cluster: Cluster, timeline: int, since: int, segment_bytes: int) -> list[str]:
    """pg_waldump from ``since`` to the end of the timeline; options may follow.

    It is told the first file and the last, where the first is there: a first one alone is the last one too. What lies
    behind the end of the WAL (allocated, or recycled) ends it.
    """
    wal, first = cluster.data / "pg_wal", segment(timeline, since, segment_bytes)
    names = [path.name for path in wal.iterdir() if re.fullmatch(rf"{first[:8]}[0-9A-F]{{16}}", path.name)]
    files = [first, max(names)] if first in names else []
    return [
        cluster.program("pg_waldump"), *files,
        f"--path={wal}", f"--timeline={timeline}", f"--start={lsn_text(since)}",
    ]  # fmt: skip


def segment(timeline: int, position: int, segment_bytes: int) -> str:
    """Pure: the name of the WAL file that holds ``position`` (manual 30.6)."""
    number, each = position // segment_bytes, 2**32 // segment_bytes
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def parse(text: str) -> tuple[Commit, ...]:
    """Pure: from pg_waldump's output."""
    return tuple(
        Commit(
            hit["lsn"], f"{hit['at'].replace(' ', 'T')}Z", (int(hit["prepared"] or hit["xid"]), *_subxacts(hit["rest"]))
        )
        for hit in map(_COMMIT.match, text.splitlines())
        if hit
    )


def _subxacts(rest: str) -> tuple[int, ...]:
    hit = _SUBXACTS.search(rest)
    return tuple(int(word) for word in hit[1].split()) if hit else ()


def _is_the_end(stderr: str) -> bool:
    """pg_waldump ends with an error where the WAL ends; that is how it says so."""
    return any(words in stderr for words in _ENDS)


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
    lost: Sequence[Commit],
    folder: Path,
    clock: Clock,
    *,
    control: ControlData,
    since: int,
    secret: Path = PASSFILE,
) -> Kept:
    """Write commits behind the position ``since`` of the cluster's timeline, and their rows, below ``folder``: readable
    by root only, durably. What was written. Raises OSError, SecondsiteError."""
    place = folder / clock.now().strftime("%Y%m%dT%H%M%SZ")
    place.mkdir(parents=True, mode=0o700)
    count, touched = 0, _touched(cluster, control, since) if lost else None
    with os.fdopen(os.open(place / "rows.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        for row in rows(cluster, lost, secret, touched=touched):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    kept = Kept(len(lost), count, lost[0].at if lost else None, lost[-1].at if lost else None, place)
    summary = {
        "written_at": to_text(clock.now()),
        "generation": control.timeline,
        **{key: value for key, value in asdict(kept).items() if key != "folder"},
        "transactions": [asdict(commit) for commit in lost],
    }
    atomically(place / "lost.json", json.dumps(summary, indent=1).encode(), mode=0o600)
    sync_directory(place)
    return kept


def _touched(cluster: Cluster, control: ControlData, since: int) -> Touched | None:
    """None where that cannot be told: then every table is read."""
    try:
        return read(_waldump(cluster, control.timeline, since, control.wal_segment_bytes), seconds=READ_SECONDS)
    except SecondsiteError:
        return None
