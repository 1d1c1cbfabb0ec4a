"""The old timeline's WAL behind the point where a successor took over: what was committed or prepared only there.

The records are read with ``pg_waldump`` (manual); how it words them is in xactdesc.c.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondsite import process
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.controldata import ControlData
from secondsite.database.controldata import read as read_control
from secondsite.database.lsn import to_text as lsn_text
from secondsite.database.parting import Stretch
from secondsite.database.touched import Touched, read
from secondsite.database.wal_end import Files, goes_on, segment
from secondsite.errors import FinalError, SecondsiteError

READ_SECONDS = 600
_COMMIT = re.compile(
    r"rmgr: Transaction .*?, tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.* desc: COMMIT"
    r"(?:_PREPARED (?P<prepared>\d+):)? "  # the record is nobody's then: tx is 0 (xactdesc.c, xact_desc_commit)
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC(?P<rest>.*)"
)
_PREPARE = re.compile(
    r"rmgr: Transaction .*?, tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.* desc: PREPARE gid (?P<gid>.*): "
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC"
)
_DECIDED = re.compile(r"rmgr: Transaction .* desc: (?:COMMIT|ABORT)_PREPARED (?P<xid>\d+):")
_SUBXACTS = re.compile(r"subxacts:((?: \d+)+)")
_ENDS = (
    "invalid record length", "could not find a valid record", "could not find file", "out-of-sequence",
    "unexpected pageaddr", "incorrect resource manager data", "record with incorrect prev-link",
    "invalid magic number", "could not read from log", "invalid resource manager ID",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Commit:
    """A lost transaction. at: UTC, as the old primary's clock had it. xids: its own and its subtransactions'."""

    lsn: str
    at: str
    xids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that somebody was told is prepared, and that was neither committed nor rolled back (two phases).

    Its rows were never visible, so none can be shown; whoever coordinates it knows it by its gid."""

    gid: str
    lsn: str
    at: str


@dataclass(frozen=True, slots=True)
class OnlyHere:
    """Everything behind the switch, in order. since: the switch point, as a position. complete: False where the WAL is
    damaged, and there may be more than this."""

    since: int
    commits: tuple[Commit, ...]
    prepared: tuple[Prepared, ...]
    complete: bool = True


async def only_here(cluster: Cluster, timeline: int, since: int, before: Sequence[Stretch] = ()) -> OnlyHere:
    """What was committed or prepared on ``timeline`` behind the position ``since``; nothing where there is no WAL.
    before: stretches of earlier timelines that belong to it.

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
    earlier = [
        await _transactions(_waldump(cluster, one.timeline, one.since, control.wal_segment_bytes, one.until))
        for one in before
    ]
    done = await _transactions(_waldump(cluster, timeline, since, control.wal_segment_bytes))
    files = Files(wal, timeline, control.wal_segment_bytes)
    whole = done.ok or not await asyncio.to_thread(_more, files, since, done.stderr)
    text = "".join(one.stdout for one in (*earlier, done))
    began = before[0].since if before else since
    found = OnlyHere(began, parse(text), undecided(text), whole and all(one.ok for one in earlier))
    if not (found.commits or found.prepared) and not done.ok and not _is_the_end(done.stderr):
        raise FinalError(
            f"the old WAL behind {lsn_text(since)} cannot be read: {done.why()}", slug="wal-unreadable", step="lost"
        )
    return found


async def _transactions(argv: Sequence[str]) -> process.Completed:
    return await process.run(
        [*argv, "--rmgr=Transaction"],
        timeout=READ_SECONDS,
        env={"TZ": "UTC"},
        user=OWNER if os.geteuid() == 0 else None,
        check=False,
    )


def changed_pages(cluster: Cluster, control: ControlData, since: int) -> Touched | None:
    """The pages that the timeline has changed behind the position ``since``; None where that cannot be told."""
    try:
        return read(_waldump(cluster, control.generation, since, control.wal_segment_bytes), seconds=READ_SECONDS)
    except SecondsiteError:
        return None


def _waldump(cluster: Cluster, timeline: int, since: int, segment_bytes: int, until: int | None = None) -> list[str]:
    """pg_waldump from ``since`` to ``until``, or to the end of the timeline; options may follow.

    It is told the first file and the last, where the first is there: a first one alone is the last one too. What lies
    behind the end of the WAL (allocated, or recycled) ends it.
    """
    wal, first = cluster.data / "pg_wal", segment(timeline, since, segment_bytes)
    names = [path.name for path in wal.iterdir() if re.fullmatch(rf"{first[:8]}[0-9A-F]{{16}}", path.name)]
    files = [first, max(names)] if first in names else []
    return [
        cluster.program("pg_waldump"), *files,
        f"--path={wal}", f"--timeline={timeline}", f"--start={lsn_text(since)}",
        *([f"--end={lsn_text(until)}"] if until is not None else []),
    ]  # fmt: skip


def _more(wal: Files, since: int, stderr: str) -> bool:
    """Whether there is WAL behind where pg_waldump ended; where it could not begin, behind where it should have."""
    first = wal.folder / segment(wal.timeline, since, wal.segment_bytes)
    try:
        return goes_on(wal, stderr if first.exists() else f"could not find a valid record after {lsn_text(since)}")
    except OSError:
        return True


def parse(text: str) -> tuple[Commit, ...]:
    """Pure: every commit in pg_waldump's output."""
    return tuple(
        Commit(hit["lsn"], _moment(hit), (int(hit["prepared"] or hit["xid"]), *_subxacts(hit["rest"])))
        for hit in map(_COMMIT.match, text.splitlines())
        if hit
    )


def undecided(text: str) -> tuple[Prepared, ...]:
    """Pure: every prepared transaction in pg_waldump's output whose end is not in it."""
    decided = {hit["xid"] for hit in map(_DECIDED.match, text.splitlines()) if hit}
    return tuple(
        Prepared(hit["gid"], hit["lsn"], _moment(hit))
        for hit in map(_PREPARE.match, text.splitlines())
        if hit and hit["xid"] not in decided
    )


def _moment(hit: re.Match[str]) -> str:
    return f"{hit['at'].replace(' ', 'T')}Z"


def _subxacts(rest: str) -> tuple[int, ...]:
    hit = _SUBXACTS.search(rest)
    return tuple(int(word) for word in hit[1].split()) if hit else ()


def _is_the_end(stderr: str) -> bool:
    """pg_waldump ends with an error where the WAL ends; that is how it says so."""
    return any(words in stderr for words in _ENDS)
