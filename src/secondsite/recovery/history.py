"""The journals on this host: which procedure is unfinished, and how earlier ones went."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
    """Every journal, oldest first."""
    return tuple(_entry(path) for path in reversed(newest_first(directory)))


def unfinished(directory: Path, procedure: str | None = None) -> Entry | None:
    """The newest procedure, where it is unfinished (and of that kind). Older ones are not proven: a failover asks this
    first, and to prove a journal takes milliseconds."""
    newest = next((entry for entry in map(_entry, newest_first(directory)) if entry.opened), None)
    if newest is None or not newest.unfinished:
        return None
    return newest if procedure in (None, newest.opened["procedure"]) else None


def newest_first(directory: Path) -> list[Path]:
    """The journals in the order in which their procedures began, by the number that each one's first record has.

    Not by time: a clock that was once ahead would hide everything that begins until that hour. Journals without a
    number are older than all that have one; among themselves they go by their names, which begin with the second.
    """
    return sorted(directory.glob("*.jsonl"), key=_began, reverse=True)


def next_number(directory: Path) -> int:
    """For a procedure that begins now: one more than any journal here has."""
    return 1 + max((_began(path)[0] for path in directory.glob("*.jsonl")), default=0)


def _began(path: Path) -> tuple[int, str, str]:
    """Number, second, moment. Only the first line is read, and nothing is proven: what is altered proves nothing later
    either. What cannot be read counts as old."""
    number, at = 0, ""
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
        at, number = str(first["at"]), int(first["body"].get("number", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        number = 0
    return number, path.name.partition("-")[0], at


def _entry(path: Path) -> Entry:
    recovered = read(path)
    return Entry(path, recovered.records, position(recovered.records), not recovered.torn)


def measured_outages(directory: Path) -> tuple[float, ...]:
    """Seconds that users went without service in earlier completed switchovers, oldest first."""
    return outages_of(entries(directory))


def outages_of(journals: Iterable[Entry]) -> tuple[float, ...]:
    """Pure: the same, of journals that were read."""
    done = (entry for entry in journals if entry.position.outcome is Outcome.COMPLETED)
    closing = (entry.records[-1].body for entry in done if entry.opened.get("procedure") == "switchover")
    return tuple(float(body["outage_seconds"]) for body in closing if body.get("outage_seconds") is not None)
