"""The journals on this host: which procedure is unfinished, and how earlier ones went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.recovery.engine import Outcome, Position, position
from secondsite.recovery.journal import Kind, Record, read


@dataclass(frozen=True, slots=True)
class Entry:
    """One procedure's journal as it can be proven. intact: no byte behind the last proven record."""

    path: Path
    records: tuple[Record, ...]
    position: Position
    intact: bool

    @property
    def id(self) -> str:
        return self.path.stem

    @property
    def opened(self) -> dict[str, Any]:
        """The body of the first record: procedure, arguments, steps."""
        return dict(self.records[0].body) if self.records and self.records[0].kind is Kind.OPENED else {}

    @property
    def unfinished(self) -> bool:
        """Died on the way, or stopped beyond the point of no return."""
        return (
            bool(self.opened)
            and not self.position.superseded
            and self.position.outcome in (None, Outcome.BLOCKED, Outcome.FAILED)
        )


def entries(directory: Path) -> tuple[Entry, ...]:
    """Every journal, oldest first; names tell seconds only, and two may have begun in the same one."""
    found = []
    for path in sorted(directory.glob("*.jsonl")):
        recovered = read(path)
        found.append(Entry(path, recovered.records, position(recovered.records), not recovered.torn))
    return tuple(sorted(found, key=lambda entry: entry.records[0].at if entry.records else entry.id))


def unfinished(directory: Path, procedure: str | None = None) -> Entry | None:
    """The newest procedure, where it is unfinished (and of that kind)."""
    everything = [entry for entry in entries(directory) if entry.opened]
    if not everything or not everything[-1].unfinished:
        return None
    newest = everything[-1]
    return newest if procedure in (None, newest.opened["procedure"]) else None


def measured_outages(directory: Path) -> tuple[float, ...]:
    """Seconds that users went without service in earlier completed switchovers, oldest first."""
    done = (entry for entry in entries(directory) if entry.position.outcome is Outcome.COMPLETED)
    closing = (entry.records[-1].body for entry in done if entry.opened.get("procedure") == "switchover")
    return tuple(float(body["outage_seconds"]) for body in closing if body.get("outage_seconds") is not None)
