"""Moments as people write them: "yesterday 14:00", "2h ago", "2026-11-22T09:30". Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from secondsite.errors import UsageError
from secondsite.spec.quantities import parse_duration

_AGO = re.compile(r"(\S+(?:\s+\S+)*?)\s+ago")
_DAYS = {"today": 0, "yesterday": 1}
_UNITS = {
    "minute": "m", "minutes": "m", "min": "m", "hour": "h", "hours": "h", "day": "d", "days": "d", "week": "w",
    "weeks": "w",
}  # fmt: skip
Zone = Callable[[datetime], datetime]  # what a clock on the wall shows -> the moment
EXAMPLES = '"2h ago", "yesterday 14:00", "2026-11-22 09:30"'


def moment(text: str, now: datetime, zone: Zone = datetime.astimezone) -> datetime:
    """The moment a text means, seen from ``now`` (aware); a time without a zone is this machine's, its summer time too.

    A time of day alone is the last one there was. Raises UsageError (``no-such-moment``), also for what lies ahead.
    """
    said = " ".join(text.split())
    found = _ago(said, now) or _of_day(said, now, zone) or _iso(said, now, zone)
    if found is None:
        raise UsageError(f'"{text}" is no moment', slug="no-such-moment", hint=f"write it like {EXAMPLES}")
    if found > now:
        raise UsageError(f'"{text}" lies ahead: {found:%Y-%m-%d %H:%M:%S %Z}', slug="no-such-moment", hint=EXAMPLES)
    return found


def _ago(said: str, now: datetime) -> datetime | None:
    if said == "now":
        return now
    match = _AGO.fullmatch(said)
    if match is None:
        return None
    span = re.sub(r"[a-z]+", lambda word: _UNITS.get(word[0], word[0]), match[1].replace(" ", ""))
    try:
        return now.astimezone(UTC) - timedelta(seconds=float(str(parse_duration(span))))
    except (ValueError, OverflowError):
        return None


def _of_day(said: str, now: datetime, zone: Zone) -> datetime | None:
    """yesterday, yesterday 14:00, 14:00."""
    day, _, clock = said.partition(" ")
    if day not in _DAYS:
        return _last(said, now, zone)
    back = now.date() - timedelta(days=_DAYS[day])
    if not clock:  # the end of it: whoever says yesterday wants what was there when it was over
        return now if day == "today" else zone(datetime.combine(back, time(23, 59, 59)))
    hour = _clock(clock)
    return None if hour is None else zone(datetime.combine(back, hour))


def _last(said: str, now: datetime, zone: Zone) -> datetime | None:
    hour = _clock(said)
    if hour is None:
        return None
    found = zone(datetime.combine(now.date(), hour))
    return found if found <= now else zone(datetime.combine(now.date() - timedelta(days=1), hour))


def _clock(said: str) -> time | None:
    if not re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", said):
        return None
    try:
        return time.fromisoformat(said.zfill(5) if said.count(":") == 1 else said.zfill(8))
    except ValueError:
        return None


def _iso(said: str, now: datetime, zone: Zone) -> datetime | None:
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    if len(said) == len("2026-11-22"):  # its end, as of yesterday
        return now if found.date() == now.date() else zone(found.replace(hour=23, minute=59, second=59))
    return found if found.tzinfo is not None else zone(found)
