"""The reports that are kept, for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondsite.evidence.words import date

_VERDICTS = {True: "✓ passed", False: "✗ not passed", None: "? unreadable"}


def listing(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pure: one line a report, the newest first."""
    if not reports:
        return ["no report is kept here; `secondsite gameday` and `secondsite report failover` make one"]
    return [
        f"{_VERDICTS[one['passed']]:<13} {date(one['created_at']):<28} {one['service'] or '':<12} "
        f"{one['id'] or one['folder']}"
        for one in reports
    ]
