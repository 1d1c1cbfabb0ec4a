"""A row of bars: how a lag went over the last minutes. What was unknown is a gap, never a low bar. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*#@"
GAP = " "
SHARE = 3  # a bar of full height is at least a third of what was agreed, so that idle ripples stay ripples


def fitted(values: Sequence[float | None], width: int) -> list[float | None]:
    """The worst of each of ``width`` equal stretches; unknown where nothing in the stretch was known."""
    if width <= 0 or not values:
        return []
    width = min(width, len(values))
    edges = [round(place * len(values) / width) for place in range(width + 1)]
    return [_worst(values[start:end]) for start, end in itertools.pairwise(edges)]


def drawn(values: Sequence[float | None], agreed: float, *, bars: str = BARS) -> str:
    """One character a value. agreed: the objective, which gives the scale."""
    top = max([agreed / SHARE, *(value for value in values if value is not None)])
    return "".join(GAP if value is None else bars[min(len(bars) - 1, int(value / top * len(bars)))] for value in values)


def _worst(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)
