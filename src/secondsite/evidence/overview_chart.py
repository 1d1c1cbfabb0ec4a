"""The whole game day in one strip: when customers were served and when not. Pure geometry."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.evidence.axis import Axis, Tick
from secondsite.evidence.felt_chart import LEFT, RIGHT, Chart, Flag, staggered
from secondsite.evidence.report import Report
from secondsite.evidence.words import offset

COLUMNS = 148


@dataclass(frozen=True, slots=True)
class Column:
    """A span of the strip. state: ok, some (failed), failed."""

    x: float
    width: float
    state: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the template draws. window: the part that the picture above shows."""

    columns: list[Column]
    ticks: list[Tick]
    flags: list[Flag]
    window: tuple[float, float]
    top: float


def overview(report: Report, shown: Chart) -> Overview | None:
    """The strip; None where ``shown`` holds nearly everything already."""
    series = report["customer"]["series"]
    later = [one for one in report["moments"] if one["kind"] in ("undo", "check") and one["seconds"] > shown.window[1]]
    times = [one["t"] for one in series] + [one["seconds"] for one in later]
    start, end = min(times), max(times)
    if end - start <= 1.3 * (shown.window[1] - shown.window[0]):
        return None
    axis = Axis(start, end, LEFT, RIGHT)
    width = (RIGHT - LEFT) / COLUMNS
    states: dict[int, list[bool]] = {}
    for one in series:
        column = min(COLUMNS - 1, int((axis.x(one["t"]) - LEFT) / width))
        states.setdefault(column, []).append(one["ok"])
    columns = [
        Column(round(LEFT + number * width, 2), round(width + 0.3, 2), _state(found))
        for number, found in sorted(states.items())
    ]
    later.sort(key=lambda one: one["seconds"])
    flags = staggered(
        [(one["kind"], axis.x(one["seconds"]), f"{one['what']} {offset(one['seconds'], 1)}") for one in later]
    )
    top = max((flag.y for flag in flags), default=-8.0) + 12
    return Overview(columns, axis.ticks(), flags, (axis.x(shown.window[0]), axis.x(shown.window[1])), top)


def _state(found: list[bool]) -> str:
    return "ok" if all(found) else "some" if any(found) else "failed"
