"""Earlier recoveries on this host, as the journals prove them: what the next is predicted from, what is unfinished."""

from __future__ import annotations

from pathlib import Path

from secondsite.clock import from_text
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import Unfinished
from secondsite.recovery.engine import Outcome
from secondsite.recovery.history import entries, unfinished
from secondsite.recovery.lock import holder


def unfinished_here(journals: Path, lock: Path) -> Unfinished | None:
    """The procedure that died or stopped half-way on this host; None while one runs, which is not over."""
    if not journals.is_dir() or holder(lock) is not None:
        return None
    old = unfinished(journals)
    if old is None:
        return None
    return Unfinished(str(old.opened["procedure"]), old.id, from_text(old.records[0].at).timestamp())


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
