"""Earlier recoveries on this host, as the journals prove them: what the next is predicted from, what is unfinished."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secondsite.clock import from_text
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import LastProcedure, Unfinished
from secondsite.recovery.engine import Outcome, position
from secondsite.recovery.history import entries, newest_first, unfinished
from secondsite.recovery.journal import Kind, Record, read
from secondsite.recovery.lock import holder
from secondsite.recovery.promoted import promised

_LOOKS = "assess"  # the step of a switchover that sees whether anything stands against it


def unfinished_here(journals: Path, lock: Path) -> Unfinished | None:
    """The procedure that died or stopped half-way on this host; None while one runs, which is not over."""
    if not journals.is_dir() or holder(lock) is not None:
        return None
    old = unfinished(journals)
    if old is None:
        return None
    return Unfinished(str(old.opened["procedure"]), old.id, from_text(old.records[0].at).timestamp())


def written(journals: Path) -> frozenset[tuple[str, int, int]]:
    """What is there to be read: name, size and time of each journal; equal as long as nobody writes."""
    if not journals.is_dir():
        return frozenset()
    with os.scandir(journals) as found:
        seen = ((one.name, one.stat()) for one in found if one.name.endswith(".jsonl"))
        return frozenset((name, stat.st_size, stat.st_mtime_ns) for name, stat in seen)


def promoting(journals: Path) -> bool:
    """Has the switchover that runs on this host come to its point of no return? The intent to promote, and any step
    behind it, stands in the journal before it acts; an intent of an earlier run that died does not count."""
    old = unfinished(journals, "switchover") if journals.is_dir() else None
    if old is None:
        return False
    if promised(old) is not None:
        return True
    steps = list(old.opened.get("steps", ()))
    behind = set(steps[steps.index("promote") :]) if "promote" in steps else {"promote"}
    begun: set[str] = set()
    for record in old.records:
        if record.kind is Kind.RESUMED:
            begun.clear()
        elif record.kind is Kind.INTENT:
            begun.add(str(record.body["step"]))
    return bool(begun & behind)


def last_ended(journals: Path) -> LastProcedure | None:
    """The newest procedure that ran on this host, where it is over: everything was done, or everything taken back.

    A switchover that was refused before its first change is passed over. It was told to the person who asked, it has
    left no cause behind that the checks would not find, and it must not hide what was done before it.
    """
    for path in newest_first(journals):
        records = read(path).records
        if not records or records[0].kind is not Kind.OPENED:
            continue  # it died before it had begun
        outcome = position(records).outcome
        if outcome not in (Outcome.COMPLETED, Outcome.ROLLED_BACK):
            return None
        if _refused(records):
            continue
        opened, error = records[0].body, _first_failure(records)
        to = (opened.get("arguments") or {}).get("to")
        return LastProcedure(
            procedure=str(opened.get("procedure", "recovery")),
            id=path.stem,
            outcome=outcome.value,
            ended_at=from_text(records[-1].at).timestamp(),
            why=error.get("message"),
            hint=error.get("hint"),
            to=str(to) if to else None,
        )
    return None


def _refused(records: Sequence[Record]) -> bool:
    """Was it a switchover that has done nothing but look?"""
    begun = {record.body["step"] for record in records if record.kind is Kind.INTENT}
    looked = records[0].body.get("procedure") == "switchover" and begun <= {_LOOKS}
    return looked and position(records).outcome is Outcome.ROLLED_BACK


def _first_failure(records: Sequence[Record]) -> dict[str, Any]:
    """The error of the step that failed first since the procedure was last taken up; empty where none did."""
    first: dict[str, Any] = {}
    for record in records:
        if record.kind is Kind.RESUMED:
            first = {}
        elif record.kind is Kind.RESULT and not first:
            first = dict(record.body.get("error") or {})
    return first


def past_runs(directory: Path) -> tuple[PastRun, ...]:
    """Every completed procedure that measured how long users waited, oldest first."""
    runs = []
    for entry in entries(directory) if directory.is_dir() else ():
        if entry.position.outcome is not Outcome.COMPLETED or not entry.opened:
            continue
        closing = entry.records[-1]
        seconds = closing.body.get("rto_seconds")
        if seconds is not None:
            kind = str(entry.opened.get("procedure", "recovery"))
            runs.append(PastRun(kind, entry.id, from_text(closing.at).timestamp(), float(seconds)))
    return tuple(runs)
