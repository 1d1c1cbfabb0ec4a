"""Whether the delayed standby's own log says that no way leads on from what it has: pure.

Its receiver tells it with each attempt, every few seconds. Only that process and the startup process write what is
looked for here, and only when everything that was received before is replayed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_START = re.compile(r"\bLOG:\s+starting PostgreSQL ")
# A receiver is also ended by its own server, before each new attempt: that tells nothing.
_TOLD = re.compile(
    r"\b(?:FATAL:\s+(?!\s|terminating )(.*)|LOG:\s+(new timeline \d+ forked off .*|started streaming WAL .*))"
)
_GONE = re.compile(
    r"could not (?:start WAL streaming|receive data from WAL stream): .*"
    r"(?:has already been removed|is not in this server's history)"
    r"|new timeline \d+ forked off .* before current recovery point"
)
_CHILD = re.compile(
    r"requested timeline \d+ (?:is not a child of this server's history|does not contain minimum recovery)"
)


def no_way_on(rows: Sequence[str]) -> str | None:
    """What a running server last said about receiving, where that means that it will never receive again.

    xlogrecovery.c (rescanLatestTimeLine), walsender.c (StartReplication, WalSndSegmentOpen).
    """
    return _last(rows, _GONE)


def cannot_start(rows: Sequence[str]) -> str | None:
    """Why a stopped server will not start again: it is further than the point where the new timeline began."""
    return _last(rows, _CHILD)


def _last(rows: Sequence[str], sought: re.Pattern[str]) -> str | None:
    """The last that was told since the last start, where it is what is sought."""
    starts = [place for place, row in enumerate(rows) if _START.search(row)]
    told = [found for row in rows[starts[-1] if starts else 0 :] if (found := _TOLD.search(row))]
    last = (told[-1].group(1) or told[-1].group(2)).strip() if told else ""
    return last if sought.search(last) else None
