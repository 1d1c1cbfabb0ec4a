"""Numbers and moments as a reader says them. What was not measured is said to be that."""

from __future__ import annotations

from collections.abc import Sequence

from secondsite.clock import from_text

NOT_MEASURED = "not measured"


def span(seconds: float | None) -> str:
    """A duration: "420 ms", "4.21 s", "42.1 s", "2 min 5 s", "1 h 10 min"."""
    if seconds is None:
        return NOT_MEASURED
    if seconds <= 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def objective(seconds: float | None) -> str:
    """An objective, without digits it was not given: "60 s" is "1 min", "1.5 s" stays."""
    if seconds is None:
        return "not set"
    return f"{seconds:g} s" if seconds < 60 else span(seconds)


def exact(seconds: float | None) -> str:
    """To the millisecond, for tables that are checked against the evidence."""
    return NOT_MEASURED if seconds is None else f"{seconds:.3f} s"


def offset(seconds: float, digits: int = 3) -> str:
    """Before or after the fault: "+2.310 s", "−4.000 s"; from ten minutes on "+12:05 min"."""
    if abs(seconds) < 600:
        text = f"{abs(seconds):.{digits}f} s"
    else:
        minutes, rest = divmod(round(abs(seconds)), 60)
        text = f"{minutes}:{rest:02d} min"
    return text if seconds == 0 else f"{'+' if seconds > 0 else '−'}{text}"


def clock(at: str | None) -> str:
    """The time of day in UTC, to the millisecond; "not measured" where nobody looked, the text where it is none."""
    if not at:
        return NOT_MEASURED
    try:
        return from_text(at).strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return at


def date(at: str | None) -> str:
    """The day and the minute in UTC, in words."""
    if not at:
        return "unknown"
    try:
        moment = from_text(at)
    except ValueError:
        return at
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def count(number: int | None, noun: str) -> str:
    """ "no orders", "1 order", "12 orders"."""
    if number is None:
        return f"{noun}s not counted"
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def met(value: bool | None) -> str:
    """Of an objective."""
    return {True: "met", False: "missed", None: NOT_MEASURED}[value]
