"""An axis of time in a picture: where a moment is, and which moments are written below it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis and its text."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds from ``start`` to ``end``, drawn from ``left`` to ``right``."""

    start: float
    end: float
    left: float
    right: float

    def x(self, seconds: float) -> float:
        """Where a moment is; at the edge where it is outside."""
        inside = min(max(seconds, self.start), self.end)
        share = (inside - self.start) / ((self.end - self.start) or 1.0)
        return round(self.left + share * (self.right - self.left), 1)

    def ticks(self, apart: float = 80.0) -> list[Tick]:
        """Round moments, at least ``apart`` from one another."""
        least = (self.end - self.start) * apart / (self.right - self.left)
        step = next((step for step in _STEPS if step >= least), math.ceil(least / 3600) * 3600)
        first, last = math.ceil(self.start / step - 1e-9), math.floor(self.end / step + 1e-9)
        return [Tick(self.x(number * step), _label(number * step, step)) for number in range(first, last + 1)]


def _label(seconds: float, step: float) -> str:
    digits = 2 if step < 0.1 else 1 if step < 1 else 0
    sign = "−" if seconds < 0 else "+" if seconds > 0 else ""
    if step < 60:
        return f"{sign}{abs(seconds):.{digits}f} s"
    return f"{sign}{abs(seconds) / 60:g} min"
