"""Events and quantities in words; pure, so that a terminal and a log say the same."""

from __future__ import annotations

from typing import NamedTuple

from secondsite.events import ChangeDone, ChangePlanned, Event, Note, Progress, StepEnded
from secondsite.recovery.left_open import left_open
from secondsite.recovery.unfetched import shown

_STYLES = {"info": "", "warning": "yellow", "error": "bold red"}
_OUTCOMES = {
    "done": "green", "already": "dim", "skipped": "dim", "failed": "bold red", "undone": "yellow",
    "undo-failed": "bold red",
    "nothing fetched": "yellow", "not all fetched": "yellow", "not confirmed": "yellow",
}  # fmt: skip


class Line(NamedTuple):
    """Text and how a terminal colours it."""

    text: str
    style: str = ""


def with_site(site: str | None, text: str, style: str) -> Line:
    """A line that begins with the site it is about."""
    return Line(f"{site}: {text}" if site else text, style)


def line_of(event: Event) -> Line | None:
    """The line for an event that needs no memory of others; None for those that are not shown."""
    match event:
        case Note():
            mark = "" if event.level == "info" else f"{event.level}: "
            return with_site(event.site, f"{mark}{event.text}", _STYLES.get(event.level, ""))
        case ChangePlanned():
            noticed = f" ({event.disrupts})" if event.disrupts else ""
            diff = "".join(f"\n    {row}" for row in event.diff.splitlines())
            return with_site(event.site, f"would change {event.resource}: {event.summary}{noticed}{diff}", "")
        case ChangeDone():
            text = f"changed {event.resource}: {event.summary} ({duration(event.seconds)})"
            return with_site(event.site, text, "green")
    return None


def step_line(event: StepEnded, title: str) -> Line:
    """How a step ended, under the title it was announced with."""
    why = event.message or left_open({"details": event.details}) or ""
    word = shown(event.outcome, event.details)
    text = f"{title}: {word} ({duration(event.seconds)}){f': {why}' if why else ''}"
    return with_site(event.site, text, _OUTCOMES.get(word, ""))


def amount(event: Progress) -> str:
    """How far work has come: "1.2 GB of 3.4 GB, 36%, 12.0 MB/s, 3m 5s left"."""
    parts = [quantity(event.done, event.unit)]
    if event.total is not None:
        parts[0] += f" of {quantity(event.total, event.unit)}"
        if event.total > 0:
            parts.append(f"{min(event.done / event.total, 1):.0%}")
    if event.rate_per_second is not None:
        parts.append(f"{quantity(event.rate_per_second, event.unit)}/s")
    if event.seconds_left is not None and event.seconds_left > 0:
        parts.append(f"{duration(event.seconds_left)} left")
    return ", ".join(parts)


def quantity(value: float, unit: str) -> str:
    """A number with its unit: bytes scaled by 1000, anything else counted."""
    if unit != "bytes":
        return f"{value:,.0f} {unit}"
    for name in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {name}" if name == "B" else f"{value:.1f} {name}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """A span as a person says it: "12 ms", "3.4 s", "2m 5s", "3h 10m", "2d 4h"."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, below, name in (("m", 60, 1, "s"), ("h", 3600, 60, "m"), ("d", 86400, 3600, "h")):
        if whole < size * (60 if unit == "m" else 24) or unit == "d":
            large, rest = divmod(whole, size)
            return f"{large}{unit} {rest // below}{name}" if rest // below else f"{large}{unit}"
    raise AssertionError("every span has a largest unit")
