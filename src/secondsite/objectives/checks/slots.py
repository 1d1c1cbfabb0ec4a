"""Checks of the replication slot: it keeps WAL for the standby, and must never fill the primary's disk."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.database.slot import slot_name
from secondsite.database.state import SlotState
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.snapshot import SiteState

registry = Registry(sees=lambda state: state.database.writable)
_SHARE_LEFT = 0.2  # of max_slot_wal: below this the slot will soon be lost


def _slots(judged: Judged) -> tuple[SiteState | None, tuple[SlotState, ...]]:
    site = judged.situation.primary
    primary = judged.situation.present(site) if site else None
    if primary is None or not primary.database.writable:
        return None, ()
    ours = slot_name(judged.situation.standby or "")
    return primary, tuple(slot for slot in primary.database.slots if slot.name == ours)


@registry.check("slot", Severity.CRITICAL, "Does the primary keep WAL for the standby?", Needs.PRIMARY)
def slot(judged: Judged) -> Iterator[Problem]:
    """Without a slot in use, a longer outage of the link means seeding again."""
    primary, slots = _slots(judged)
    if primary is None:
        return
    if not slots:
        yield Problem(primary.site, "there is no replication slot for the standby", "`secondsite apply`")
    elif not slots[0].active:
        message = f"nobody reads the replication slot {slots[0].name}"
        yield Problem(primary.site, message, "is the standby up, and the tunnel?")


@registry.check("slot-lost", Severity.CRITICAL, "Is the WAL that the standby needs still there?", Needs.PRIMARY)
def slot_lost(judged: Judged) -> Iterator[Problem]:
    """wal_status as pg_replication_slots shows it (PostgreSQL manual 54.19)."""
    primary, slots = _slots(judged)
    for one in slots if primary else ():
        if one.wal_status == "lost":
            message = f"slot {one.name} is lost: the WAL that the standby needs is gone"
            yield Problem(primary.site if primary else None, message, "`secondsite apply` seeds the standby again")
        elif one.wal_status == "unreserved":
            message = f"slot {one.name} may be lost at the next checkpoint"
            yield Problem(primary.site if primary else None, message, "let the standby catch up now")


@registry.check(
    "slot-room", Severity.WARNING, "May the standby stay away for a while without being lost?", Needs.PRIMARY
)
def slot_room(judged: Judged) -> Iterator[Problem]:
    """safe_wal_size: bytes that may still be written before the slot may be lost."""
    primary, slots = _slots(judged)
    limit = judged.situation.spec.database.max_slot_wal
    for one in slots if primary else ():
        left = one.safe_wal_bytes
        if left is not None and left < limit * _SHARE_LEFT and one.wal_status != "lost":
            message = f"slot {one.name} is lost after {left / 1e6:,.0f} MB more of WAL"
            yield Problem(primary.site if primary else None, message, "bring the standby back, or raise max_slot_wal")


@registry.check("slot-disk", Severity.WARNING, "Does the WAL kept for the standby fit on the disk?", Needs.PRIMARY)
def slot_disk(judged: Judged) -> Iterator[Problem]:
    """A slot without a limit, or with one above the free space, can stop the primary."""
    primary, slots = _slots(judged)
    if primary is None or not slots:
        return
    limit = judged.situation.spec.database.max_slot_wal
    if dict(primary.database.settings).get("max_slot_wal_keep_size") == "-1":
        yield Problem(
            primary.site, "max_slot_wal_keep_size has no limit: a slot can fill the disk", "`secondsite apply`"
        )
    kept = max((limit - one.safe_wal_bytes for one in slots if one.safe_wal_bytes is not None), default=0)
    free = primary.disk_free_bytes
    if free is not None and free < limit - max(0, kept):
        message = f"max_slot_wal is {limit / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free"
        yield Problem(primary.site, message, "lower max_slot_wal, or make room")
