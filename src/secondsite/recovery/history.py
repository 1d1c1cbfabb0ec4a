"""The journals on this host: which procedure is unfinished, and how earlier ones went."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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
    return tuple(reversed(list(_newest_first(directory))))


def unfinished(directory: Path, procedure: str | None = None) -> Entry | None:
    """The newest procedure, where it is unfinished (and of that kind). Older ones are not read: a failover asks this
    first, and to prove a journal takes milliseconds."""
    newest = next((entry for entry in _newest_first(directory) if entry.opened), None)
    if newest is None or not newest.unfinished:
        return None
    return newest if procedure in (None, newest.opened["procedure"]) else None


def _newest_first(directory: Path) -> Iterator[Entry]:
    """Names begin with the second in which a procedure began; where two share it, their first records tell."""
    paths = sorted(directory.glob("*.jsonl"), reverse=True)
    for _, same in itertools.groupby(paths, key=lambda path: path.name.partition("-")[0]):
        yield from sorted(map(_entry, same), key=_begun_at, reverse=True)


def _begun_at(entry: Entry) -> str:
    return entry.records[0].at if entry.records else ""


def _entry(path: Path) -> Entry:
    recovered = read(path)
    return Entry(path, recovered.records, position(recovered.records), not recovered.torn)


def measured_outages(directory: Path) -> tuple[float, ...]:
    """Seconds that users went without service in earlier completed switchovers, oldest first."""
    done = (entry for entry in entries(directory) if entry.position.outcome is Outcome.COMPLETED)
    closing = (entry.records[-1].body for entry in done if entry.opened.get("procedure") == "switchover")
    return tuple(float(body["outage_seconds"]) for body in closing if body.get("outage_seconds") is not None)
