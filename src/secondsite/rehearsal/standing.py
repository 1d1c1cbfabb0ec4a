"""A fault that still stands: said wherever a person ends a game day before the fault is taken back."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from secondsite.rehearsal.faults import ON_HOST, TITLES


def standing(fault: str, site: str, *, until: float, now: float, power_on: Sequence[str] = ()) -> str:
    """Pure: that the fault is still there, until when, and the command that ends it now.

    until, now: unix seconds; until is when the timer on the host ends a fault that has one, at the latest.
    """
    there = f'the fault is still in place at {site} ("{TITLES[fault]}")'
    if fault not in ON_HOST:
        act = shlex.join(power_on) if power_on else f"switch {site} on where its power is (the file names no command)"
        return f"{there}, and nothing ends it by itself; this ends it now: {act}"
    clock = f"{datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC"
    ends = f"its timer on the host ends it by {clock}" if until > now else f"its timer on the host was due at {clock}"
    act = f"secondsite fault {fault} --undo"
    return (
        f"{there}; {ends}; this ends it now, as root on {site} (at its console where SSH does not get through): {act}"
    )
