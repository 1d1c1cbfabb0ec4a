"""A journal for a person: what was meant, what came of it, and what of that is proven. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from secondsite.clock import from_text
from secondsite.evidence.words import date, span
from secondsite.recovery.history import Entry
from secondsite.recovery.journal import Kind, Record

WIDTH = 80
_OUTCOMES = {
    "completed": "completed",
    "rolled_back": "taken back",
    "failed": "failed",
    "blocked": "stopped half-way",
    None: "unfinished",
}


def listing(entries: Sequence[Entry]) -> list[str]:
    """One line a procedure."""
    if not entries:
        return ["no procedure has run on this host"]
    lines = []
    for entry in entries:
        began = date(entry.records[0].at) if entry.records else "unknown"
        chain = "✓ intact" if entry.intact else "✗ NOT INTACT"
        lines.append(f"{entry.id:<40} {began:<28} {outcome(entry):<17} {chain}")
    return lines


def outcome(entry: Entry) -> str:
    """How it ended, in words."""
    if entry.position.superseded:
        return "superseded"
    return _OUTCOMES.get(entry.position.outcome, str(entry.position.outcome))


def proof(entry: Entry) -> list[str]:
    """What the hash chain proves, and where it breaks."""
    number = len(entry.records)
    if not entry.intact:
        where = f"after record {number - 1}" if number else "at its first record"
        return [
            f"{entry.id}: ✗ NOT INTACT {where}",
            f"  what follows {number} proven records in {entry.path} is torn or was changed",
        ]
    if not number:
        return [f"{entry.id}: empty, so nothing is proven"]
    return [f"{entry.id}: ✓ intact, {number} records", f"  head {entry.records[-1].hash}"]


def told(entry: Entry) -> list[str]:
    """Every record in words, on the clock of the first one; its proof last."""
    opened = entry.opened
    lines = [f"{opened.get('procedure', 'procedure')} {entry.id}: {outcome(entry)}", ""]
    zero = from_text(entry.records[0].at).timestamp() if entry.records else 0.0
    for record in entry.records:
        seconds = f"{from_text(record.at).timestamp() - zero:9.3f} s"
        first, *others = _words(record)
        lines.append(f"  {seconds}  {record.kind.value:<8}  {first}")
        lines += [f"{'':<25}{line}" for other in others for line in textwrap.wrap(other, WIDTH - 25)]
    return [*lines, "", *proof(entry)]


def _words(record: Record) -> list[str]:
    body = record.body
    match record.kind:
        case Kind.OPENED:
            steps = f"steps: {', '.join(body.get('steps', ()))}" if body.get("steps") else ""
            return [f"{body.get('procedure')} begins", *_arguments(body), *([steps] if steps else [])]
        case Kind.RESUMED:
            return ["taken up again", *_arguments(body)]
        case Kind.INTENT:
            return [f"{body.get('step')} at {body.get('site')}"]
        case Kind.RESULT:
            return _result(body)
        case Kind.UNDONE:
            return [f"{body.get('step')} was taken back"]
        case Kind.SUPERSEDED:
            return [f"not to be taken up again: {body.get('why')}"]
        case Kind.CLOSED:
            served, out = body.get("rto_seconds"), body.get("outage_seconds")
            if out is not None:
                return [f"{_OUTCOMES.get(body.get('outcome'))}, users were without service for {span(out)}"]
            return [_OUTCOMES.get(body.get("outcome"), str(body.get("outcome"))) + (
                "" if served is None else f", {span(served)} from the command to users being served"
            )]  # fmt: skip


def _arguments(body: Mapping[str, Any]) -> list[str]:
    given = {key: value for key, value in dict(body.get("arguments", {})).items() if value not in (None, "", False)}
    return [", ".join(f"{key} {value}" for key, value in given.items())] if given else []


def _result(body: Mapping[str, Any]) -> list[str]:
    seconds = f", {span(float(body['seconds']))}" if body.get("seconds") is not None else ""
    first = f"{body.get('step')}: {body.get('result')}{seconds}"
    error = body.get("error")
    return [first, str(error["message"])] if isinstance(error, dict) and error.get("message") else [first]
