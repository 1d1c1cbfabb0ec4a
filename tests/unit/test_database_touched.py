"""The pages that pg_waldump names: of which tables, and in which fork."""

from __future__ import annotations

from secondsite.database.touched import pages

LINES = [
    "rmgr: Heap len (rec/tot): 59/8227, tx: 725, lsn: 0/03000028, desc: INSERT,"
    " blkref #0: rel 1663/16384/16385 blk 12 FPW",
    "rmgr: Heap len (rec/tot): 72/72, tx: 725, lsn: 0/03002070, desc: UPDATE off 4,"
    " blkref #0: rel 1663/16384/16385 blk 13, blkref #1: rel 1663/16384/16385 blk 12",
    "rmgr: Heap2 len (rec/tot): 59/59, tx: 0, lsn: 0/030020B8, desc: VISIBLE cutoff xid 724,"
    " blkref #0: rel 1663/16384/16385 fork vm blk 0, blkref #1: rel 1663/16384/16385 blk 7",
    "rmgr: Btree len (rec/tot): 64/64, tx: 725, lsn: 0/030020F8, desc: INSERT_LEAF, blkref #0: rel 1663/5/2662 blk 1",
    "rmgr: Transaction len (rec/tot): 46/46, tx: 725, lsn: 0/03002138, desc: COMMIT 2026-11-22 03:12:00.000000 UTC",
]


def test_every_page_of_the_main_fork_is_known_by_its_database_and_file() -> None:
    assert pages(LINES) == {(16384, 16385): {12, 13, 7}, (5, 2662): {1}}


def test_wal_without_a_page_touches_nothing() -> None:
    assert pages([]) == {}
