"""Earlier recoveries on this host, as the journals prove them: what the next one is predicted from."""

from __future__ import annotations

from pathlib import Path

from secondsite.clock import from_text
from secondsite.objectives.rto import PastRun
from secondsite.recovery.engine import Outcome
from secondsite.recovery.history import entries


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
