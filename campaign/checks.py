"""The checker: what a round must have left true. Pure, over what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from campaign.breaking import Happened
from campaign.plan import OTHER, Kind, Mode

SELF_FENCE_SECONDS = 20.0  # a primary that was cut off hears of its successor and stops, once packets pass again
CLOCK_SECONDS = 0.5  # a heartbeat is stamped a moment before it is committed, and two clocks are compared
BYTES_SLACK = 1 << 20  # pgbench writes between two rows of a prober
NOTHING_CHANGED = (2, 3, 255)  # exit codes; 255: nobody could log in
MUST_BE_OK = {
    "two-primaries", "no-primary", "reachable", "agent", "agent-duties", "guard", "unfinished", "quarantine",
    "application", "units", "config", "clocks", "streaming", "replay-paused", "same-cluster", "timeline",
    "commits-hang", "commit-mode", "slot", "slot-lost", "files", "files-blocked", "tunnel", "dns-target",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ack:
    """A row that somebody was told is committed. sent, acknowledged: monotonic seconds; lsn: when it was inserted."""

    key: str
    path: str
    site: str
    sent: float
    acknowledged: float
    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Procedure:
    """What the operator has run. given, ended: monotonic. document: what it printed, {} where it was interrupted."""

    name: str
    site: str
    given: float
    ended: float
    code: int
    document: Mapping[str, Any]

    @property
    def outcome(self) -> str:
        return str(self.document.get("outcome") or self.document.get("error") or f"exit {self.code}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a round. written_down: keys in ``report --lost-rows``; None where no old disk was read."""

    mode: Mode
    primary: str
    acks: tuple[Ack, ...]
    faults: tuple[Happened, ...]
    procedures: tuple[Procedure, ...]
    there: Mapping[str, frozenset[str]]  # the keys each site has at the end
    written_down: frozenset[str] | None
    status: Mapping[str, Mapping[str, Any]]  # at the end, by site
    slots: Mapping[str, Sequence[Mapping[str, Any]]]
    left_over: tuple[str, ...]
    epoch: float = 0.0  # unix seconds at which the monotonic clock was 0


def violations(seen: Evidence) -> list[str]:
    """Every promise that was broken, in words; empty where all held."""
    primary = primary_of(seen)
    if primary and not readable(seen):  # that it is down is told below; what it has is there when it runs again
        unknown = [f"the rows of {primary} cannot be read, so nothing is known of what is lost"]
    else:
        unknown = []
    return [
        *(unknown or (*_lost_rows(seen), *_reported(seen))),
        *_two_primaries(seen),
        *_generations(seen),
        *_converged(seen),
    ]


def lost(seen: Evidence) -> tuple[Ack, ...]:
    """Rows that were acknowledged and that the primary of the end does not have."""
    there = seen.there.get(primary_of(seen), frozenset())
    return tuple(ack for ack in seen.acks if ack.key not in there)


def readable(seen: Evidence) -> bool:
    """Could the rows of the primary be read at the end? Its table is never empty: no round begins before a row."""
    return bool(seen.there.get(primary_of(seen)))


def primary_of(seen: Evidence) -> str:
    """The site that both call primary at the end; empty where nobody does."""
    named = {str(status.get("primary")) for status in seen.status.values()}
    return named.pop() if len(named) == 1 else ""


def failovers(seen: Evidence) -> list[Procedure]:
    """Those that have, or may have, promoted. By contract not one that was refused or says that all is as it was."""
    return [one for one in seen.procedures if one.name == "failover" and one.code not in NOTHING_CHANGED]


def _lost_rows(seen: Evidence) -> Iterator[str]:
    gone = lost(seen)
    if not gone:
        return
    told = f"{len(gone)} acknowledged rows are lost, the first {gone[0].path} at {gone[0].site}"
    if not failovers(seen):
        yield f"{told}, and there was no failover"
    elif seen.mode is Mode.BLOCK:
        yield f"{told}, although every commit waits for the standby"
    elif seen.written_down is None:
        yield f"{told}, and nobody wrote them down"
    elif hidden := [ack for ack in gone if ack.key not in seen.written_down]:
        yield f"{told}; {len(hidden)} of them are not in report --lost-rows"


def _reported(seen: Evidence) -> Iterator[str]:
    """Was more lost than the failover said? Up to the command; behind it the unconfirmed fence is the warning."""
    for failover in failovers(seen):
        rpo = failover.document.get("rpo") or {}
        gone = [ack for ack in lost(seen) if ack.acknowledged < failover.given]
        seconds, known = rpo.get("at_most_seconds"), rpo.get("known_bytes")
        if gone and seconds is not None:
            age = failover.given - gone[0].acknowledged
            if age > seconds + CLOCK_SECONDS:
                yield f"work of the last {age:.1f} s is lost, and failover said at most {seconds:.1f} s"
        if early := _lost_though_waited_for(seen, gone, rpo):
            yield (
                f"failover said that nothing of the database is lost up to {rpo['heard_at']}, and {len(early)} rows"
                " that were acknowledged before are"
            )
        if known and gone and (real := _bytes_behind(seen, failover)) is not None and known > real + BYTES_SLACK:
            yield f"failover said {known} bytes are known to be missing, and the old primary had written only {real}"


def _lost_though_waited_for(seen: Evidence, gone: Sequence[Ack], rpo: Mapping[str, Any]) -> list[Ack]:
    """Lost rows of before the last sign of life, at which the primary had everything confirmed. That moment is by the
    clock of the site that took over: where a clock was moved it says nothing here."""
    claimed = rpo.get("synchronous") or (rpo.get("replicas") or {}).get("database") == 0
    moved = any(one.fault.kind is Kind.CLOCK_JUMP for one in seen.faults)
    if seen.mode is Mode.ASYNC or not claimed or moved or rpo.get("heard_at") is None:
        return []
    heard = datetime.fromisoformat(rpo["heard_at"]).timestamp() - seen.epoch
    return [ack for ack in gone if ack.acknowledged < heard - CLOCK_SECONDS]


def _bytes_behind(seen: Evidence, failover: Procedure) -> int | None:
    """How far the old primary had written beyond what the new one had: by the rows' positions."""
    before = [ack.lsn for ack in seen.acks if ack.site == OTHER[failover.site] and ack.acknowledged < failover.ended]
    steps = failover.document.get("steps", ())
    reached = next((step["details"].get("reached") for step in steps if step["name"] == "assess"), None)
    if not before or not reached:
        return None
    high, low = str(reached).split("/")
    return max(0, max(before) - ((int(high, 16) << 32) + int(low, 16)))


def late_writes(acks: Sequence[Ack]) -> tuple[Ack, ...]:
    """Rows that a site accepted in an old generation although a later one had already accepted one: two primaries.

    Sure by both ends: the row was sent after another row of the later generation had been acknowledged.
    """
    first: dict[int, float] = {}
    for ack in acks:
        first[ack.timeline] = min(first.get(ack.timeline, ack.acknowledged), ack.acknowledged)
    return tuple(
        ack for ack in acks if any(ack.timeline < later and ack.sent > began for later, began in first.items())
    )


def _two_primaries(seen: Evidence) -> Iterator[str]:
    for timeline in sorted({ack.timeline for ack in seen.acks}):
        sites = {ack.site for ack in seen.acks if ack.timeline == timeline}
        if len(sites) > 1:
            yield f"both sites accepted writes in generation {timeline}"
    late = late_writes(seen.acks)
    forbidden = [ack for ack in late if not _promised(seen, ack)]
    if forbidden:
        span = forbidden[-1].acknowledged - forbidden[0].sent
        yield (
            f"{forbidden[0].site} accepted {len(forbidden)} writes in generation {forbidden[0].timeline}"
            f" for {span:.1f} s while the other site accepted them in a later one"
        )


def _promised(seen: Evidence, ack: Ack) -> bool:
    """May this late write be? Only where a fence was unconfirmed, the operator accepted it, and the failover says so;
    until the old primary can hear of its successor. One that was off in between has asked its guard, and may not."""
    warned = [one for one in failovers(seen) if one.document.get("fence") == "unconfirmed"]
    if not warned or ack.site != OTHER[warned[0].site]:
        return False
    for one in seen.faults:
        off = one.fault.kind is Kind.POWER_OFF and one.fault.host == ack.site
        if off and one.began > warned[0].given - 60 and ack.sent > one.healed:
            return False
    healed = max((one.healed for one in seen.faults), default=0.0)
    return ack.sent < max(healed, warned[0].ended) + SELF_FENCE_SECONDS


def _generations(seen: Evidence) -> Iterator[str]:
    for site in ("oslo", "bergen"):
        own = [ack for ack in sorted(seen.acks, key=lambda ack: ack.sent) if ack.site == site]
        for earlier, later in pairwise(own):
            if later.timeline < earlier.timeline and later.sent > earlier.acknowledged:
                yield f"{site} went back from generation {earlier.timeline} to {later.timeline}"
                break
    highest = max((ack.timeline for ack in seen.acks), default=0)
    for site, status in seen.status.items():
        if status and int(status.get("generation") or 0) < highest:
            yield f"{site} says generation {status.get('generation')}, and {highest} has accepted writes"


def _converged(seen: Evidence) -> Iterator[str]:
    for site, status in seen.status.items():
        if not status:
            yield f"{site} tells no status at the end"
            continue
        if not status.get("ready"):
            said = [finding["message"] for finding in status.get("findings", ()) if finding["severity"] == "critical"]
            yield f"{site} is not READY at the end: {'; '.join(said)[:300]}"
        wrong = sorted(one["check"] for one in status.get("checks", ()) if not one["ok"] and one["check"] in MUST_BE_OK)
        if wrong and status.get("ready"):
            yield f"{site} is not as it was at the end: {', '.join(wrong)}"
    primary = primary_of(seen)
    if primary not in OTHER:
        yield "the sites do not agree who is primary"
        return
    if missing := seen.there[primary] - seen.there[OTHER[primary]]:
        yield f"{len(missing)} rows of {primary} are not at {OTHER[primary]}"
    active = [slot for slot in seen.slots[primary] if slot["active"]]
    if len(active) != 1 or len(seen.slots[primary]) != 1:
        names = [slot["slot_name"] for slot in seen.slots[primary]]
        yield f"slots at the primary {primary}: {names}, one in use is right"
    if seen.slots[OTHER[primary]]:
        yield f"slots left at the standby: {[slot['slot_name'] for slot in seen.slots[OTHER[primary]]]}"
    yield from seen.left_over
