"""``secondsite journal``: the procedures of a host, record by record, and the proof that no record was changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Config, Json
from secondsite.spec import paths

if TYPE_CHECKING:
    from secondsite.cli.journals import Journals, Kept


def run(
    which: str | None = None,
    /,
    *,
    verify: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """List the procedures that ran on this host, or show one's journal.

    On a machine that is no site's host the journals of both sites are fetched by SSH, and proven here. Every record
    carries the hash of the one before it.

    Example: ``secondsite journal latest --verify``

    Exit code 0: every journal is intact. 1: one is not, or a site could not be asked.

    See also: report, failover.

    Parameters
    ----------
    which
        The id of a procedure, the beginning of one, latest, or a journal's file. Without it they are listed.
    verify
        Show only what can be proven: how many records, whether the chain is whole, and its head.
    """
    from secondsite.cli.journals import journals, of_file
    from secondsite.cli.render import emit_json
    from secondsite.cli.views.journal import proof, told
    from secondsite.errors import Exit

    if which is not None and Path(which).is_file():
        kept, silent = of_file(Path(which)), {}
    else:
        known = journals(config)
        silent = known.silent
        if which is None:
            _listed(known, verify=verify, as_json=json)
            _tell(silent)
            whole = all(one.entry.intact for one in known.kept) and not silent
            return Exit.OK if whole else Exit.OBJECTIVE_MISSED
        kept = find(which, known)
    entry = kept.entry
    if json:
        emit_json({**summary(kept), **({} if verify else {"records": records(kept)})})
    else:
        print("\n".join(proof(entry) if verify else told(entry)))
    _tell(silent)
    return Exit.OK if entry.intact and entry.records else Exit.OBJECTIVE_MISSED


def _listed(known: Journals, *, verify: bool, as_json: bool) -> None:
    from secondsite.cli.render import emit_json
    from secondsite.cli.views.journal import listing, proof

    newest_first = list(reversed(known.kept))
    if as_json:
        journals = [summary(one) for one in newest_first]
        emit_json({"folder": str(paths.JOURNAL), "journals": journals, "silent": known.silent})
        return
    for site in known.sites:
        entries = [one.entry for one in newest_first if one.site == site]
        if site is not None:
            print(f"{site}:")
        print("\n".join([line for entry in entries for line in proof(entry)] if verify else listing(entries)))


def _tell(silent: dict[str, str]) -> None:
    for site, why in silent.items():
        print(f"warning: {site} could not be asked, so its journals are not shown: {why}", file=sys.stderr)


def find(which: str, known: Journals) -> Kept:
    """The journal that is meant. Raises UsageError where none or more than one is."""
    from secondsite.errors import UsageError

    everything: Sequence[Kept] = known.kept
    if which == "latest" and everything:
        return everything[-1]
    found = [one for one in everything if one.entry.id == which]
    found = found or [one for one in everything if one.entry.id.startswith(which)]
    if len(found) != 1:
        where = "on this host" if known.sites == (None,) else "at any site that answers"
        told = f"{len(found)} journals begin with {which}" if found else f"there is no journal {which} {where}"
        raise UsageError(told, hint="`secondsite journal` lists them; a file works as well")
    return found[0]


def summary(kept: Kept) -> dict[str, Any]:
    """{id, site, path, procedure, outcome, began_at, ended_at, records_count, intact, head}."""
    entry = kept.entry
    records = entry.records
    return {
        "id": entry.id,
        "site": kept.site,
        "path": str(kept.path),
        "procedure": entry.opened.get("procedure"),
        "outcome": entry.position.outcome,
        "began_at": records[0].at if records else None,
        "ended_at": records[-1].at if records and entry.position.outcome else None,
        "records_count": len(records),
        "intact": entry.intact,
        "head": records[-1].hash if records else None,
    }


def records(kept: Kept) -> list[dict[str, Any]]:
    """Every proven record as it stands in the file."""
    return [
        {"seq": one.seq, "at": one.at, "kind": one.kind, "body": dict(one.body), "prev": one.prev, "hash": one.hash}
        for one in kept.entry.records
    ]
