"""What a running command tells: typed events, one JSON line each, the same over a pipe, a socket or SSH."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the person who watches. level: info, warning or error."""

    text: str
    site: str | None = None
    level: str = "info"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come. unit is bytes, files or steps; total is None while unknown."""

    what: str
    done: float
    total: float | None
    unit: str = "bytes"
    site: str | None = None
    rate_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step of a procedure begins. at: RFC 3339."""

    step: str
    site: str
    title: str
    at: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step ended. outcome: done, already, skipped, failed, undone."""

    step: str
    site: str
    outcome: str
    at: str
    seconds: float
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChangePlanned:
    """A difference between what is and what the file says. diff: unified, may be empty."""

    resource: str
    site: str
    summary: str
    diff: str = ""
    disrupts: str | None = None  # what a user of the service would notice


@dataclass(frozen=True, slots=True)
class ChangeDone:
    """A planned change was made and observed."""

    resource: str
    site: str
    summary: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """The last event of a command: its document, and its exit code."""

    document: Mapping[str, Any]
    exit_code: int = 0


Event = Note | Progress | StepStarted | StepEnded | ChangePlanned | ChangeDone | Result
Emit = Callable[[Event], None]

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Note, Progress, StepStarted, StepEnded, ChangePlanned, ChangeDone, Result)
}


def to_line(event: Event) -> str:
    """One JSON line without its newline."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False, default=str)


def from_line(line: str) -> Event:
    """The inverse of ``to_line``; raises ValueError on a line that is no event."""
    try:
        body = json.loads(line)
        kind = _KINDS[body.pop("event")]
        event: Event = kind(**body)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as strange:
        raise ValueError(f"not an event: {line[:200]}") from strange
    return event


def ignore(_event: Event) -> None:
    """For callers who do not watch."""
