"""Which tables are looked at, and how many ranges of each: by size, the same again for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from secondsite.database.verify.model import Table

PAGE_BYTES = 8192
RANGE_BYTES = 4 * 1024 * 1024
LEAST_ROWS, MOST_ROWS, UNKNOWN_ROWS = 100, 5000, 1000


def rows_per_range(table: Table) -> int:
    """So many that a look at a range reads some megabytes: well below a second, on a slow disk too."""
    if not table.rows or not table.pages:
        return UNKNOWN_ROWS
    return max(LEAST_ROWS, min(MOST_ROWS, int(RANGE_BYTES / (table.pages * PAGE_BYTES / table.rows))))


def ranges_of(table: Table) -> int:
    """How many ranges the table is thought to have; at least one."""
    return max(1, -(-table.rows // rows_per_range(table))) if table.key else 1


def allotted(tables: Sequence[Table], budget: int, seed: int) -> Mapping[Table, int]:
    """How many ranges of each table to look at, ``budget`` in all. Tables that are left out are missing.

    Each table gets one as long as the budget allows it, the bigger ones with a greater chance where it does not
    (Efraimidis and Spirakis, weighted sampling without replacement). The rest is shared out by size.
    """
    chance = random.Random(seed)
    drawn = {table: chance.random() ** (1.0 / max(1, table.pages)) for table in sorted(tables, key=str)}
    chosen = sorted(drawn, key=lambda table: -drawn[table])[: max(0, budget)]
    left = budget - len(chosen)
    pages = sum(table.pages for table in chosen)
    return {
        table: min(ranges_of(table), 1 + (left * table.pages // pages if pages else 0))
        for table in sorted(chosen, key=str)
    }  # fmt: skip


def within(tables: Sequence[Table], budget_bytes: int, seed: int) -> tuple[Table, ...]:
    """Whole tables, drawn at random, that together are not larger than the budget: for checks that read all of one."""
    chance = random.Random(seed)
    order = sorted(tables, key=str)
    chance.shuffle(order)
    chosen, room = [], budget_bytes
    for table in order:
        if table.pages * PAGE_BYTES <= room:
            chosen.append(table)
            room -= table.pages * PAGE_BYTES
    return tuple(sorted(chosen, key=str))
