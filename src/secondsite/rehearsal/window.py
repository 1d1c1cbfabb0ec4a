"""Is now a time at which a game day is allowed? Pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from secondsite.spec.model import GameDay

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def refusal(gameday: GameDay, now: datetime) -> str | None:
    """Why not now, or None. A window whose end is before its start goes over midnight."""
    window = gameday.window
    if window is None:
        return None
    local = now.astimezone(ZoneInfo(window.timezone))
    clock = local.time().replace(tzinfo=None)
    inside = (
        window.start <= clock <= window.end
        if window.start <= window.end
        else clock >= window.start or clock <= window.end
    )
    if DAYS[local.weekday()] in window.days and inside:
        return None
    days = ", ".join(window.days)
    return (
        f"it is {local:%a %H:%M} in {window.timezone}; game days are {days} {window.start:%H:%M} to {window.end:%H:%M}"
    )
