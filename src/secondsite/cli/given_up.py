"""What a way back has found only at the old primary: transactions, their rows and files, counted for its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondsite.cli import lost, lost_files
from secondsite.cli.journals import Kept
from secondsite.clock import from_text
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Note
from secondsite.recovery.engine import Outcome
from secondsite.recovery.unfetched import NAMED, printable
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


@dataclass(frozen=True, slots=True)
class Left:
    """What a failover left behind. site: the old primary. at: when the failover began, by the survivor's clock
    (RFC 3339). timeline, switch_point: what it promoted, and where that left the old timeline; None where its journal
    does not say."""

    site: str
    at: str
    timeline: int | None = None
    switch_point: str | None = None


def left_by(failover: Kept, spec: Spec) -> Left:
    """Pure: of a failover's journal."""
    entry = failover.entry
    promoted = entry.position.completed.get("promote")
    details = promoted.details if promoted else {}
    known = bool(details.get("timeline") and details.get("switch_point"))
    return Left(
        spec.peer_of(str(entry.opened["arguments"]["to"])),
        entry.records[0].at,
        int(details["timeline"]) if known else None,
        str(details["switch_point"]) if known else None,
    )


def of_failover(records: Sequence[Mapping[str, Any]], left: Left) -> list[Mapping[str, Any]]:
    """Pure: the records of what this failover has lost, and no other.

    A record tells which timeline was left and where: that decides, for the clocks of two hosts differ. Where it does
    not, as old ones do, or the journal does not, the moment at which it was written has to.
    """

    def belongs(one: Mapping[str, Any]) -> bool:
        if one.get("site", left.site) != left.site:
            return False
        if left.timeline is None or one.get("since") is None:
            return from_text(one["written_at"]) >= from_text(left.at)
        return bool(one["since"] == left.switch_point and int(one["generation"]) < left.timeline)

    return [one for one in records if belongs(one)]


async def given_up(spec: Spec, failover: Kept | None, emit: Emit) -> dict[str, Any] | None:
    """{transactions, rows, last_at, prepared[gid], complete, files[{site, set, count, bytes, perhaps, kept_in}]} of all
    that was found of what ``failover`` has lost, or at all where none is known; None where a site cannot be asked,
    which is told. Numbers and gids are None where the old database was not read: it was copied anew. transactions:
    heartbeats of our own are among them. last_at: when the last of them was committed, by the old primary's clock.
    complete: False where its WAL was damaged, and there may be more."""
    try:
        rows = await lost.fetched(spec, lost.FLAG, lost.KEY)
        files = await lost.fetched(spec, lost_files.FLAG, lost_files.KEY)
    except SecondsiteError as silent:
        again = f"secondsite report {lost.FLAG}, secondsite report {lost_files.FLAG}"
        emit(Note(f"what was lost could not be read ({silent.message}); ask later: {again}", level="warning"))
        return None
    return counted(rows, files, None if failover is None else left_by(failover, spec))


def counted(rows: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]], left: Left | None) -> dict[str, Any]:
    """Pure: the same, from what was fetched."""

    def of_now(records: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return records if left is None else of_failover(records, left)

    keys = ("site", "set", "count", "bytes", "kept_in")
    read = newest(of_now(rows))
    return {
        "transactions": sum(int(one["commits"]) for one in read) if read else None,
        "rows": sum(int(one["rows"]) for one in read) if read else None,
        "last_at": max((str(one["last_at"]) for one in read if one.get("last_at")), key=from_text, default=None),
        "prepared": [str(each["gid"]) for one in read for each in one.get("prepared", ())] if read else None,
        "complete": all(one.get("complete", True) for one in read),
        "files": [
            {key: one[key] for key in keys} | {"perhaps": len(one.get("perhaps", ()))}
            for one in of_now(files)
            if one["count"] or one.get("perhaps")
        ],
    }


def newest(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Pure: one record a site, generation and switch point. A later one of the same holds all of the earlier: the old
    primary was started again in between, and given up once more."""
    last: dict[tuple[object, ...], Mapping[str, Any]] = {}
    for number, one in enumerate(sorted(records, key=lambda one: (one["commits"], str(one["written_at"])))):
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
        out.append(
            f"  in the failover {_count(found['rows'], 'row')} lost, written down: secondsite report {lost.FLAG}"
        )
    elif found["transactions"]:  # nothing is left of what was deleted, nor of a heartbeat
        out.append(f"  in the failover {_count(found['transactions'], 'transaction')} lost that left no row (they only")
        out.append(f"  deleted, or are heartbeats of our own): secondsite report {lost.FLAG}")
    if prepared := found.get("prepared"):
        some = ", ".join(repr(printable(gid)) for gid in prepared[:NAMED])
        more = f" and {len(prepared) - NAMED} more" if len(prepared) > NAMED else ""
        out.append(f"  in the failover {_count(len(prepared), 'prepared transaction')} lost that nobody had decided,")
        out.append(f"  {some}{more}: secondsite report {lost.FLAG}")
    for one in found["files"]:
        where = f"kept at {one['site']}: secondsite report {lost_files.FLAG}"
        if one["count"]:
            out.append(f"  in the failover {lost_files.told(one)} lost, {where}")
        if number := one.get("perhaps"):
            out.append(f"  in the failover perhaps {_count(number, 'file')} of {one['set']} lost, {where}")
    return out or ["  in the failover nothing lost that could be found at the old primary"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
