"""The check of logical slots: what subscribers and other consumers of changes lose by a promotion, and what not."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.database.logical import LogicalSlots
from secondsite.database.slot import slot_name
from secondsite.objectives.finding import Judged, Problem, Registry, Severity
from secondsite.objectives.snapshot import SiteState

registry = Registry(sees=lambda state: state.condition is not None)
_KEEPS_SINCE = 170000  # sync_replication_slots (release notes of 17, E.2.3.4)
_KEEP = "database.keep_logical_slots = true, then secondsite apply"
_MARK = "ALTER SUBSCRIPTION … SET (failover = true) while it is disabled, or create it anew with failover = true"


@registry.check("logical-slots", Severity.WARNING, "Would every logical slot survive a promotion?")
def logical_slots(judged: Judged) -> Iterator[Problem]:
    """Before PostgreSQL 17 none does. Since then those do that are marked failover and copied to the standby.

    See the manual, 29.3 and 47.2.3. What survives is told, too.
    """
    primary = _site(judged, judged.situation.primary)
    if primary is None or primary.condition is None or not primary.database.writable:
        return
    slots = primary.condition.logical
    if int(dict(primary.database.settings).get("server_version_num", "0")) < _KEEPS_SINCE:
        if slots.unmarked:
            hint = "before PostgreSQL 17 none survives: its consumers are set up anew after a promotion"
            yield Problem(primary.site, f"a promotion loses the logical slots {', '.join(slots.unmarked)}", hint)
        return
    if slots.unmarked:
        message = f"a promotion loses the logical slots {', '.join(slots.unmarked)}: they are not marked failover"
        yield Problem(primary.site, message, f"{_MARK}; and {_KEEP}")
    if slots.unused:
        message = f"every consumer of a logical slot waits: nobody uses the slot {', '.join(slots.unused)}"
        yield Problem(primary.site, message, "ALTER SYSTEM RESET synchronized_standby_slots, then reload")
    standby = _site(judged, judged.situation.standby)
    if standby is not None and standby.condition is not None and not standby.database.writable:
        yield from _marked(slots, standby.condition.logical, primary.site, standby.site)


def _marked(slots: LogicalSlots, there: LogicalSlots, primary: str, standby: str) -> Iterator[Problem]:
    """What becomes of the slots that are marked, as the standby's copies say."""
    missing = [name for name in slots.marked if name not in there.copies]
    own = [name for name in missing if name in there.own]
    if missing:
        message = f"a promotion loses the logical slots {', '.join(missing)}: {standby} has no copy that is ready"
        hint = f"it comes when the slot's consumer has moved on; else PostgreSQL's log at {standby} says why"
        if there.lacks:
            hint = f"{standby} lacks {', '.join(there.lacks)}: {_KEEP}"
        elif own:
            hint = (
                f"a slot of that name stands in the way at {standby}: SELECT pg_drop_replication_slot('{own[0]}') there"
            )
        yield Problem(primary, message, hint)
    kept = [name for name in slots.marked if name in there.copies]
    if kept:
        ahead = slot_name(standby) not in slots.awaited
        hint = (
            "consumers can be ahead of the standby, and a disaster then loses what they have;"
            f" synchronized_standby_slots = '{slot_name(standby)}' makes them wait for it, also while it is away"
        )
        message = f"a promotion takes the logical slots {', '.join(kept)} along"
        yield Problem(primary, message, hint if ahead else "", Severity.INFO)


def _site(judged: Judged, site: str | None) -> SiteState | None:
    return None if site is None else judged.situation.present(site)
