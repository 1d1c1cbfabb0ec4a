"""What a step that has ended well leaves to a person: told with the step, in every view and in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.recovery.unfetched import NAMED, printable, unfetched


def left_open(step: Mapping[str, Any]) -> str | None:
    """Pure: what a step of a procedure's document could not fetch, or found that only a person can decide; None where
    nothing is left."""
    return unfetched(step) or undecided(step)


def undecided(step: Mapping[str, Any]) -> str | None:
    """Pure: the transactions that were prepared and came along undecided (two phases), or why nobody could look; None
    where there are none.

    They hold their locks, and keep VACUUM back, until their coordinator or a person decides (manual, PREPARE
    TRANSACTION).
    """
    details = step.get("details") or {}
    if why := details.get("prepared_unread"):
        return f"prepared transactions may have come along, and could not be read ({why}): look at pg_prepared_xacts"
    found = details.get("prepared_transactions") or ()
    if not found:
        return None
    some = ", ".join(f"{printable(one['gid'])!r} in {printable(one['database'])}" for one in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"{len(found)} prepared transactions came along and hold their locks until each is decided, by COMMIT PREPARED "
        f"or ROLLBACK PREPARED in its database: {some}{more}"
    )
