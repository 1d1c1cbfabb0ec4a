"""Pictures of a report in a line of characters. Pure."""

from __future__ import annotations

from secondsite.evidence.felt_chart import shape_of
from secondsite.evidence.report import Report
from secondsite.evidence.waterfall import LEFT, RIGHT, Bar

_CELLS = {"failed": "×", "new": "◆", "old": "●"}
BAR_WIDTH = 12


def felt_cells(report: Report, window: tuple[float, float], width: int) -> str:
    """One character a slice of time: failed where any attempt failed, blank where none was made."""
    start, end = window
    found: dict[int, set[str]] = {}
    for one in report["customer"]["series"]:
        if start <= one["t"] <= end:
            place = min(width - 1, int((one["t"] - start) / ((end - start) or 1.0) * width))
            found.setdefault(place, set()).add(shape_of(report, one))
    return "".join(
        next((cell for shape, cell in _CELLS.items() if shape in found.get(place, ())), " ") for place in range(width)
    )


def bar_cells(bar: Bar) -> str:
    """A step's bar; empty where it never began. "~" at the end: it took longer than the picture."""
    if bar.x is None:
        return ""
    scale = BAR_WIDTH / (RIGHT - LEFT)
    begin = min(BAR_WIDTH - 1, int((bar.x - LEFT) * scale))
    length = max(1, round(bar.width * scale))
    line = "━" * min(length, BAR_WIDTH - begin)
    return " " * begin + (f"{line[:-1]}…" if bar.cut else line)
