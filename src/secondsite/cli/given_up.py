"""What a way back has found only at the old primary: rows and files, counted for the end of the procedure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondsite.cli import lost, lost_files
from secondsite.cli.journals import Kept
from secondsite.clock import from_text
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Note
from secondsite.recovery.engine import Outcome
from secondsite.spec import Spec


def last_failover(kept: Sequence[Kept]) -> Kept | None:
    """Pure: the newest failover that let a site take over, as far as the journals tell."""
    told = [one for one in kept if one.entry.opened.get("procedure") == "failover" and _took_over(one)]
    return max(told, key=lambda one: one.entry.records[0].at, default=None)


def _took_over(kept: Kept) -> bool:
    """Also where the journal breaks off before it: a full disk may have kept the rest from being written."""
    outcome = kept.entry.position.outcome
    begun = any(record.body.get("step") == "promote" for record in kept.entry.records)
    return outcome is not Outcome.ROLLED_BACK and (begun or outcome in (None, Outcome.COMPLETED))


async def given_up(spec: Spec, since: str | None, emit: Emit) -> dict[str, Any] | None:
    """{transactions, rows, complete, files[{site, set, count, bytes, kept_in}]} of everything that was found since the
    moment ``since`` (RFC 3339); None where a site cannot be asked, which is told. transactions and rows are None where
    the old database was not read: it was copied anew. complete: False where its WAL was damaged, and there may be more.
    """
    try:
        rows = await lost.fetched(spec, lost.FLAG, lost.KEY)
        files = await lost.fetched(spec, lost_files.FLAG, lost_files.KEY)
    except SecondsiteError as silent:
        again = f"secondsite report {lost.FLAG}, secondsite report {lost_files.FLAG}"
        emit(Note(f"what was lost could not be read ({silent.message}); ask later: {again}", level="warning"))
        return None
    return counted(rows, files, since)


def counted(rows: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]], since: str | None) -> dict[str, Any]:
    """Pure: the same, from what was fetched."""

    def of_now(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [one for one in records if since is None or from_text(one["written_at"]) >= from_text(since)]

    keys = ("site", "set", "count", "bytes", "kept_in")
    read = newest(of_now(rows))
    return {
        "transactions": sum(int(one["commits"]) for one in read) if read else None,
        "rows": sum(int(one["rows"]) for one in read) if read else None,
        "complete": all(one.get("complete", True) for one in read),
        "files": [{key: one[key] for key in keys} for one in of_now(files) if one["count"]],
    }


def newest(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Pure: one record a site, generation and switch point. A later one of the same holds all of the earlier: the old
    primary was started again in between, and given up once more."""
    last: dict[tuple[object, ...], Mapping[str, Any]] = {}
    for number, one in enumerate(sorted(records, key=lambda one: str(one["written_at"]))):
        since = one.get("since")
        last[(one.get("site"), one.get("generation"), since) if since else (number,)] = one
    return list(last.values())


def lines(found: Mapping[str, Any]) -> list[str]:
    """Pure: the end of a failback, what was lost and the command that shows it."""
    out = []
    if found["rows"] is None:
        out.append("  in the failover rows may be lost: the old database was not read; where it was copied anew, its")
        out.append("  data was moved aside beside the data folder")
    elif not found.get("complete", True):
        out.append(
            f"  in the failover at least {found['transactions']} transactions lost ({found['rows']} rows written"
        )
        out.append(f"  down); the old WAL is damaged, so there may be more: secondsite report {lost.FLAG}")
    elif found["rows"]:
        rows = "1 row" if found["rows"] == 1 else f"{found['rows']} rows"
        out.append(f"  in the failover {rows} lost, written down: secondsite report {lost.FLAG}")
    for one in found["files"]:
        out.append(
            f"  in the failover {lost_files.told(one)} lost, kept at {one['site']}: secondsite report {lost_files.FLAG}"
        )
    return out or ["  in the failover nothing lost that could be found at the old primary"]
