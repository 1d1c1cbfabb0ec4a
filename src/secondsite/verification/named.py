"""What the file names: the newest row of a table, and statements with their answers."""

from __future__ import annotations

import asyncio
from typing import Any

from secondsite.database.lsn import to_text
from secondsite.database.verify import judge
from secondsite.database.verify.model import Outcome
from secondsite.database.verify.statement import written
from secondsite.errors import SecondsiteError
from secondsite.spec.model import Verify
from secondsite.verification.check import Check, copy_anew, unknown
from secondsite.verification.order import Pair

ROUNDS = 4
PAUSE_SECONDS = 0.3
MORE_SECONDS = 15.0  # to connect and to send, beside the statement's own time


async def newest(pair: Pair, wanted: Verify) -> Check:
    """Has the standby the newest row that the primary has? By the same four looks as everything else."""
    schema, table = wanted.place
    name = f"newest row of {wanted.database}: {schema}.{table} by {wanted.column}"
    request = {"database": wanted.database, "schema": schema, "name": table, "column": wanted.column}
    looks: list[dict[str, Any]] = []
    outcome = Outcome.BUSY
    try:
        for attempt in range(ROUNDS):
            await asyncio.sleep(PAUSE_SECONDS * attempt)
            looks = []
            for place in range(4):
                if place % 2:
                    look = await pair.look_at_standby("newest", request, looks[-1]["lsn"])
                else:
                    look = await pair.look_at_primary("newest", request)
                looks.append(dict(look))
                outcome = judge.judged([one["seen"] for one in looks])
                if outcome is Outcome.EQUAL:
                    break
            if outcome is not Outcome.BUSY:
                break
    except SecondsiteError as error:
        return unknown(name, "newest", pair.standby.site, error)
    return _newest_told(name, pair.standby.site, outcome, looks)


def _newest_told(name: str, site: str, outcome: Outcome, looks: list[dict[str, Any]]) -> Check:
    values = [one["seen"][0] if one["seen"] else None for one in looks]
    evidence = {"values": values, "lsns": [to_text(one["lsn"]) for one in looks]}
    if outcome is Outcome.EQUAL:
        return Check(name, "newest", site, outcome, f"both sites have {values[-1] or 'no row'}", evidence=evidence)
    if outcome is Outcome.DIFFERENT:
        message = f"the primary has {values[2] or 'no row'}, the standby {values[3] or 'no row'}"
        return Check(
            name, "newest", site, outcome, message, f"do not fail over to {site}; {copy_anew(site)}", evidence=evidence
        )
    return Check(name, "newest", site, outcome, "rows come faster than two sites can be asked", evidence=evidence)


async def statement(pair: Pair, wanted: Verify, index: int) -> list[Check]:
    """The answer at the standby, and at the primary where the file says both; one check a site."""
    sides = (pair.standby,) if wanted.at == "standby" else (pair.primary, pair.standby)
    found = []
    for side in sides:
        name = f"sql {index + 1} in {wanted.database} at {side.site}"
        try:
            look = await side.ask("statement", {"index": index}, seconds=wanted.timeout + MORE_SECONDS)
        except SecondsiteError as error:
            found.append(unknown(name, "sql", side.site, error))
            continue
        found.append(_answered(name, side.site, wanted, look["seen"], to_text(look["lsn"])))
    return found


def _answered(name: str, site: str, wanted: Verify, answer: str | None, lsn: str) -> Check:
    expected = written(wanted.expect)
    evidence = {"sql": wanted.sql, "expect": expected, "answer": answer, "lsns": [lsn]}
    shown = "no value" if answer is None else answer
    if answer == expected:
        return Check(name, "sql", site, Outcome.EQUAL, f"{shown}, as expected", evidence=evidence)
    hint = f"run it by hand at {site}: {wanted.sql}"
    return Check(name, "sql", site, Outcome.DIFFERENT, f"{shown} where {expected} is expected", hint, evidence=evidence)
