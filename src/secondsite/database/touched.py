"""Which pages of which tables a stretch of WAL has changed: only there can the rows of its transactions be.

A table of hundreds of gigabytes is not read for some thousand lost rows. Every change of a page names the page in its
record ("blkref" of pg_waldump; manual, pg_waldump; xlogreader's XLogRecGetBlockRefInfo).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from secondsite.database.cluster import OWNER
from secondsite.database.wal_end import says_where
from secondsite.errors import FinalError

_MAIN_FORK = re.compile(r"rel \d+/(?P<database>\d+)/(?P<file>\d+) blk (?P<block>\d+)")

# (oid of the database, number of the table's file): its pages.
Touched = Mapping[tuple[int, int], frozenset[int]]


def pages(lines: Iterable[str]) -> Touched:
    """Pure: from pg_waldump's output; pages of other forks hold no rows."""
    found: dict[tuple[int, int], set[int]] = defaultdict(set)
    for line in lines:
        for hit in _MAIN_FORK.finditer(line):
            found[int(hit["database"]), int(hit["file"])].add(int(hit["block"]))
    return {table: frozenset(blocks) for table, blocks in found.items()}


def read(argv: Sequence[str], *, seconds: float) -> Touched:
    """What pg_waldump with these arguments shows, line by line: its output can be far larger than the WAL.

    An error where the WAL ends is how it says so; whoever calls has read the commits of the same stretch, and knows
    whether it does end there. Raises FinalError (``wal-unreadable``) where it takes longer than ``seconds``, or ends by
    anything else: a page that is not named here is not read.
    """
    user = OWNER if os.geteuid() == 0 else None
    with (
        tempfile.TemporaryFile("w+", errors="replace") as told,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told, text=True, user=user, cwd="/"
        ) as child,
    ):
        limit = threading.Timer(seconds, child.kill)
        limit.start()
        try:
            assert child.stdout is not None
            found = pages(child.stdout)
            code = child.wait()
        finally:
            late = not limit.is_alive()
            limit.cancel()
            child.kill()
        told.seek(0)
        words = told.read()
    if code and not late and not says_where(words):
        raise FinalError(
            f"the old WAL could not be read: {words.strip() or f'pg_waldump ended with {code}'}",
            slug="wal-unreadable",
            step="lost",
        )
    if late:
        raise FinalError(f"the old WAL could not be read within {seconds:g} s", slug="wal-unreadable", step="lost")
    return found
