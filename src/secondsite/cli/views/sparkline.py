"""A row of bars: how a lag went over the last minutes. What was unknown is a gap, never a low bar. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*#@"
GAP = " "
LEAST_FULL_SCALE = 2.0  # seconds: an idle replica's heartbeat is up to a second old, and that is no mountain


def fitted(values: Sequence[float | None], width: int) -> list[float | None]:
    """The worst of each of ``width`` equal stretches; unknown where nothing in the stretch was known."""
    if width <= 0 or not values:
        return []
    width = min(width, len(values))
    edges = [round(place * len(values) / width) for place in range(width + 1)]
    return [_worst(values[start:end]) for start, end in itertools.pairwise(edges)]


def bars(values: Sequence[float | None], *, bars: str = BARS) -> str:
    """One character a value, the highest for the greatest."""
    top = max([LEAST_FULL_SCALE, *(value for value in values if value is not None)])
    return "".join(GAP if value is None else bars[min(len(bars) - 1, int(value / top * len(bars)))] for value in values)


def _worst(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)
