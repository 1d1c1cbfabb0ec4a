"""Compare the tables of the service: a sample of their ranges, or all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from secondsite.database.verify import judge, sample
from secondsite.database.verify.model import Outcome, Range, Table
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Progress
from secondsite.verification.check import Check, copy_anew, damaged, unknown
from secondsite.verification.order import Pair
from secondsite.verification.ranges import Compared, compare, read_range

BATCH = 8
LONGEST_PAUSE = 2.0
WHAT = "compare tables"
SHOWN_RANGES = 50


async def known(pair: Pair) -> tuple[Table, ...]:
    """Every table that the primary has."""
    told = await pair.primary.ask("tables")
    return tuple(Table(**{**one, "key": tuple(one["key"])}) for one in told["tables"])


async def check_tables(
    pair: Pair,
    tables: Sequence[Table],
    *,
    budget: int | None,
    seed: int,
    suspects: Mapping[str, Sequence[Range]],
    emit: Emit,
) -> list[Check]:
    """One check a table. budget: how many ranges in all; None looks at every range of every table.

    suspects: ranges that were not equal last time, by table; they are looked at in any case.
    """
    shares = (
        sample.allotted(tables, budget, seed)
        if budget is not None
        else {table: sample.ranges_of(table) for table in tables}
    )
    for table in tables:
        if budget is not None and str(table) in suspects:
            shares = {**shares, table: shares.get(table, 0)}
    total, done = float(sum(shares.values())), 0
    checks = []
    for table, share in shares.items():
        found: list[Compared] = []
        try:
            async for batch in _batches(
                pair, table, share, seed, suspects.get(str(table), ()), everything=budget is None
            ):
                found += await _gently(pair, table, batch)
                done += len(batch)
                emit(Progress(WHAT, done, max(total, done + 1.0), "ranges", pair.standby.site))
        except SecondsiteError as error:
            if error.slug in ("verify-roles", "behind", "peer-silent", "peer-refused", "database-unreachable"):
                raise
            checks.append(unknown(_name(table), "table", pair.standby.site, error))
            continue
        checks.append(told(table, found, pair.standby.site))
    emit(Progress(WHAT, done, done, "ranges", pair.standby.site))
    return checks


async def _batches(
    pair: Pair, table: Table, share: int, seed: int, suspects: Sequence[Range], *, everything: bool
) -> AsyncIterator[list[Range]]:
    """The ranges to look at, some at a time; those of a whole table are found as one goes along."""
    request = {"database": table.database, "schema": table.schema, "name": table.name, "key": table.key,
               "rows": sample.rows_per_range(table)}  # fmt: skip
    if not everything:
        drawn = [] if not share else _parts(await pair.primary.ask("ranges", request | {"count": share, "seed": seed}))
        parts = list(dict.fromkeys([*suspects, *drawn]))
        for place in range(0, len(parts), BATCH):
            yield parts[place : place + BATCH]
        return
    low: tuple[str, ...] | None = None
    while True:
        parts = _parts(await pair.primary.ask("ranges", request | {"count": BATCH, "low": low, "high": None}))
        yield parts
        low = parts[-1].high
        if low is None:
            return


async def _gently(pair: Pair, table: Table, batch: Sequence[Range]) -> list[Compared]:
    """Rest as long as it took: at most half of one processor's time, and never two looks at once."""
    began = asyncio.get_running_loop().time()
    found = await compare(pair, [(table, part) for part in batch])
    await asyncio.sleep(min(LONGEST_PAUSE, asyncio.get_running_loop().time() - began))
    return found


def _parts(told: Mapping[str, Any]) -> list[Range]:
    return [read_range(one) for one in told["ranges"]]


def _name(table: Table) -> str:
    return f"table {table}"


def told(table: Table, found: Sequence[Compared], site: str) -> Check:
    """Pure: a table's check from its ranges."""
    outcomes = [one.outcome for one in found]
    outcome = judge.worst(outcomes)
    rows = sum(one.rows for one in found)
    counts = {str(each): outcomes.count(each) for each in Outcome if each in outcomes}
    telling = sorted(found, key=lambda one: one.outcome is Outcome.EQUAL)[:SHOWN_RANGES]
    evidence = {
        "key": list(table.key),
        "rows": rows,
        "ranges": counts,
        "looked_at": [one.evidence() for one in telling],
    }
    how = "compared" if table.key else "counted only, as there is no primary key to compare by"
    if outcome is Outcome.DIFFERENT:
        return Check(_name(table), "table", site, outcome, _difference(found), _way_on(found, site), evidence=evidence)
    if outcome is Outcome.EQUAL:
        return Check(_name(table), "table", site, outcome, f"{rows} rows {how}", evidence=evidence)
    first = next(one for one in found if one.outcome is outcome)
    busy = len(first.judged.busy) if first.judged else 0
    reason = first.error.message if first.error else f"{busy} rows of {first.part} change too fast to be compared"
    return Check(
        _name(table), "table", site, outcome, reason, "secondsite verify again, at a quieter hour", evidence=evidence
    )


def _difference(found: Sequence[Compared]) -> str:
    parts = []
    for one in found:
        if one.outcome is not Outcome.DIFFERENT:
            continue
        if one.judged is None:
            parts.append(f"{one.part} cannot be read: {one.error.message if one.error else ''}")
            continue
        for name, keys in (
            ("missing", one.judged.missing),
            ("extra", one.judged.extra),
            ("changed", one.judged.changed),
        ):
            if keys:
                shown = ", ".join("/".join(key) for key in keys[:5]) + (", …" if len(keys) > 5 else "")
                parts.append(f"{len(keys)} rows {name} at the standby ({shown}) in {one.part}")
    return "; ".join(parts)


def _way_on(found: Sequence[Compared], site: str) -> str:
    error = next((one.error for one in found if one.outcome is Outcome.DIFFERENT and one.error), None)
    if error is not None:
        return damaged(error.host or site)
    return f"do not fail over to {site}; {copy_anew(site)}"
