"""Compare one batch of ranges: two looks where they are equal, four and row by row where they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from secondsite.database.lsn import to_text
from secondsite.database.verify import judge
from secondsite.database.verify.model import Key, Outcome, Range, Table
from secondsite.errors import RetryableError, SecondsiteError
from secondsite.verification.order import Pair

ROUNDS = 4
PAUSE_SECONDS = 0.3
SHOWN_KEYS = 20
PIECE_ROWS, PIECES = 2000, 64
_LOST_ROLE = ("verify-roles", "behind", "peer-silent", "peer-refused", "database-unreachable")


@dataclass(frozen=True, slots=True)
class Compared:
    """A range and how it ended. lsns: of the looks that decided, the primary's first."""

    table: Table
    part: Range
    outcome: Outcome
    rows: int = 0
    lsns: tuple[str, ...] = ()
    judged: judge.Rows | None = None
    error: SecondsiteError | None = None

    def evidence(self) -> dict[str, Any]:
        """For ``--json``."""
        told: dict[str, Any] = {
            "low": self.part.low, "high": self.part.high, "outcome": str(self.outcome), "rows": self.rows,
            "lsns": list(self.lsns),
        }  # fmt: skip
        if self.judged is not None:
            told |= {
                name: [list(key) for key in keys[:SHOWN_KEYS]] for name, keys in asdict(self.judged).items() if keys
            }
        if self.error is not None:
            told["error"] = self.error.as_json()
        return told


async def compare(pair: Pair, items: Sequence[tuple[Table, Range]]) -> list[Compared]:
    """All of one database. Raises what ends the whole verification: a lost role, a standby that does not follow."""
    request = {"database": items[0][0].database, "items": [_item(*one) for one in items]}
    first = (await pair.primary.ask("digests", request))["looks"]
    newest = max((look["lsn"] for look in first if not look["error"]), default=0)
    second = (await pair.look_at_standby("digests", request, newest))["looks"]
    found = []
    for (table, part), here, there in zip(items, first, second, strict=True):
        if not here["error"] and not there["error"] and here["seen"] == there["seen"]:
            found.append(Compared(table, part, Outcome.EQUAL, here["seen"][0], _lsns(here, there)))
        else:
            found += await _closely(pair, table, part)
    return found


async def _closely(pair: Pair, table: Table, part: Range) -> list[Compared]:
    """The range in pieces small enough to be looked at row by row: it may have grown since it was drawn."""
    if not table.key:
        return [await _by_rows(pair, table, part)]
    request = {"database": table.database, **_item(table, part), "rows": PIECE_ROWS, "count": PIECES}
    pieces = (await pair.primary.ask("ranges", request))["ranges"]
    return [await _by_rows(pair, table, piece) for piece in map(read_range, pieces)]


def read_range(told: Mapping[str, Any]) -> Range:
    """A range as it came over the wire."""
    return Range(*(None if told[end] is None else tuple(told[end]) for end in ("low", "high")))


async def _by_rows(pair: Pair, table: Table, part: Range) -> Compared:
    """Four looks at each row, again while rows change too fast."""
    last = Compared(table, part, Outcome.BUSY)
    for attempt in range(ROUNDS):
        await asyncio.sleep(PAUSE_SECONDS * attempt)
        try:
            last = await _four(pair, table, part, last.judged)
        except SecondsiteError as error:
            if error.slug in _LOST_ROLE:
                raise
            last = Compared(table, part, _outcome(error), error=error, judged=last.judged)
        if last.outcome in (Outcome.EQUAL, Outcome.DIFFERENT):
            break
    return last


async def _four(pair: Pair, table: Table, part: Range, before: judge.Rows | None) -> Compared:
    request = {"database": table.database, **_item(table, part)}
    looks = [await pair.primary.ask("rows", request)]
    for standby in (True, False, True):
        if standby:
            looks.append(await pair.look_at_standby("rows", request, looks[-1]["lsn"]))
        else:
            looks.append(await pair.look_at_primary("rows", request))
    if any(look["seen"] is None for look in looks):
        raise RetryableError("more rows than can be compared one by one", slug="verify-busy", step="verify")
    seen = [_seen(look) for look in looks]
    judged = judge.rows(seen)
    if before is not None:  # a row that was judged equal once needs no second look
        still = set(before.busy)
        judged = judge.Rows(
            judged.missing, judged.extra, judged.changed, tuple(key for key in judged.busy if key in still)
        )
    return Compared(table, part, judged.outcome, len(seen[-2]), _lsns(*looks), judged)


def _seen(look: Mapping[str, Any]) -> dict[Key, str]:
    return {tuple(key): version for key, version in look["seen"]}


def _outcome(error: SecondsiteError) -> Outcome:
    return {"verify-damaged": Outcome.DIFFERENT, "verify-busy": Outcome.BUSY}.get(error.slug, Outcome.UNKNOWN)


def _lsns(*looks: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(to_text(look["lsn"]) for look in looks)


def _item(table: Table, part: Range) -> dict[str, Any]:
    return {"schema": table.schema, "name": table.name, "key": table.key, "low": part.low, "high": part.high}
