"""pg_amcheck at the standby, database by database: tables within a budget of bytes, or all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg

from secondsite.database.cluster import Cluster
from secondsite.database.verify import amcheck, sample
from secondsite.database.verify.model import Outcome, Table
from secondsite.database.verify.reading import why
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Progress
from secondsite.spec import Spec
from secondsite.verification.check import Check, damaged, unknown

BUDGET_BYTES = 2 * 10**9
SHOWN = 20
WHAT = "pg_amcheck"


async def check(
    spec: Spec, site: str, cluster: Cluster, tables: Sequence[Table], *, full: bool, seed: int, emit: Emit
) -> list[Check]:
    """One check a database that has tables of users; ``full`` reads all of them."""
    chosen = tables if full else sample.within(tables, BUDGET_BYTES, seed)
    databases = sorted({table.database for table in tables})
    found = []
    for place, database in enumerate(databases):
        emit(Progress(WHAT, place, float(len(databases)), "databases", site))
        of_it = [table for table in chosen if table.database == database]
        found.append(await _database(spec, site, cluster, database, of_it))
    emit(Progress(WHAT, len(databases), float(len(databases)), "databases", site))
    return found


async def _database(spec: Spec, site: str, cluster: Cluster, database: str, tables: Sequence[Table]) -> Check:
    name, wanted = f"amcheck {database}", spec.database.amcheck
    try:
        there = await asyncio.to_thread(amcheck.installed, cluster, database)
    except (psycopg.Error, SecondsiteError) as refused:
        return unknown(name, "amcheck", site, why(refused) if isinstance(refused, psycopg.Error) else refused)
    if not there:
        hint = "amcheck = true below [database] in the file, then secondsite apply"
        message = f"the extension amcheck is not in {database}, so its pages and indexes were not looked into"
        return Check(name, "amcheck", site, Outcome.UNKNOWN, message, hint, wanted)
    if not tables:
        return Check(
            name,
            "amcheck",
            site,
            Outcome.UNKNOWN,
            "every table is larger than a sample may be",
            "secondsite verify --full",
            False,
        )
    try:
        outcome, corruptions, said = await amcheck.check(cluster, database, tables)
    except SecondsiteError as error:
        return unknown(name, "amcheck", site, error)
    evidence = {
        "tables": [str(table) for table in tables],
        "corruptions": [{"where": one.where, "what": one.what} for one in corruptions[:SHOWN]],
    }
    if outcome is Outcome.DIFFERENT:
        first = corruptions[0]
        message = f"{len(corruptions)} faults, the first in {first.where}: {first.what}"
        return Check(name, "amcheck", site, outcome, message, damaged(site), evidence=evidence)
    message = said or f"{len(tables)} tables with their indexes are sound"
    return Check(name, "amcheck", site, outcome, message, "", wanted, evidence)
