"""``secondsite journal``: the procedures of this host, record by record, and the proof that no record was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Json
from secondsite.spec import paths

if TYPE_CHECKING:
    from secondsite.recovery.history import Entry


def run(
    which: str | None = None, /, *, verify: Annotated[bool, Parameter(negative="")] = False, json: Json = False
) -> int:
    """List the procedures that ran on this host, or show one's journal.

    Every record carries the hash of the one before it. Exit code 1: a journal is not intact.

    Parameters
    ----------
    which
        The id of a procedure, the beginning of one, latest, or a journal's file. Without it they are listed.
    verify
        Show only what can be proven: how many records, whether the chain is whole, and its head.
    """
    from secondsite.cli.render import emit_json
    from secondsite.cli.views.journal import listing, proof, told
    from secondsite.errors import Exit

    if which is None:
        found = list(reversed(everything()))
        if json:
            emit_json({"folder": str(paths.JOURNAL), "journals": [summary(entry) for entry in found]})
        else:
            print("\n".join([line for entry in found for line in proof(entry)] if verify else listing(found)))
        return Exit.OK if all(entry.intact for entry in found) else Exit.OBJECTIVE_MISSED
    entry = find(which)
    if json:
        emit_json({**summary(entry), **({} if verify else {"records": records(entry)})})
    else:
        print("\n".join(proof(entry) if verify else told(entry)))
    return Exit.OK if entry.intact and entry.records else Exit.OBJECTIVE_MISSED


def everything() -> tuple[Entry, ...]:
    """Every journal of this host, oldest first. Raises UsageError where they may not be read."""
    import os

    from secondsite.errors import UsageError
    from secondsite.recovery.history import entries

    if paths.JOURNAL.exists() and not os.access(paths.JOURNAL, os.R_OK | os.X_OK):
        raise UsageError(f"{paths.JOURNAL} may be read by root only", hint="run it with sudo")
    return entries(paths.JOURNAL)


def find(which: str) -> Entry:
    """The journal that is meant. Raises UsageError where none or more than one is."""
    from secondsite.errors import UsageError
    from secondsite.recovery.engine import position
    from secondsite.recovery.history import Entry
    from secondsite.recovery.journal import read

    if (path := Path(which)).is_file():
        recovered = read(path)
        return Entry(path, recovered.records, position(recovered.records), not recovered.torn)
    known = everything()
    if which == "latest" and known:
        return known[-1]
    found = [entry for entry in known if entry.id == which] or [one for one in known if one.id.startswith(which)]
    if len(found) != 1:
        told = f"{len(found)} journals begin with {which}" if found else f"there is no journal {which} on this host"
        raise UsageError(told, hint="`secondsite journal` lists them; a file works as well")
    return found[0]


def summary(entry: Entry) -> dict[str, Any]:
    """{id, path, procedure, outcome, began_at, ended_at, records_count, intact, head}."""
    records = entry.records
    return {
        "id": entry.id,
        "path": str(entry.path),
        "procedure": entry.opened.get("procedure"),
        "outcome": entry.position.outcome,
        "began_at": records[0].at if records else None,
        "ended_at": records[-1].at if records and entry.position.outcome else None,
        "records_count": len(records),
        "intact": entry.intact,
        "head": records[-1].hash if records else None,
    }


def records(entry: Entry) -> list[dict[str, Any]]:
    """Every proven record as it stands in the file."""
    return [
        {"seq": one.seq, "at": one.at, "kind": one.kind, "body": dict(one.body), "prev": one.prev, "hash": one.hash}
        for one in entry.records
    ]
