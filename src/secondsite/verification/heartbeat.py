"""Does the heartbeat go on at the standby, and did it go on during the last hours?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from secondsite.database.verify.model import Outcome
from secondsite.objectives.snapshot import LagSample
from secondsite.verification.check import Check

HOURS = 24.0
MOST_GAPS = 20
NAME = "heartbeat"
_WHY = {
    "silent": "the agent here was not running",
    "unknown": "nobody knew how far behind the standby was: one of the sites did not answer",
    "behind": "further behind than the RPO objective",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch in which the promise was not kept, or nobody knows. why: silent, unknown or behind; unix seconds."""

    since: float
    until: float
    why: str


def gaps(samples: Sequence[LagSample], *, span: float, rpo: float) -> tuple[Gap, ...]:
    """Pure. Samples of the database, oldest first, ``span`` seconds each: missing ones, unknown ones, and those further
    behind than the RPO objective. Stretches that touch and are of a kind are one."""
    found: list[Gap] = []
    for place, sample in enumerate(samples):
        if place and sample.at - samples[place - 1].at > span * 2.5:
            _add(found, Gap(samples[place - 1].at + span, sample.at, "silent"), span)
        if sample.seconds is None:
            _add(found, Gap(sample.at, sample.at + span, "unknown"), span)
        elif sample.seconds > rpo:
            _add(found, Gap(sample.at, sample.at + span, "behind"), span)
    return tuple(found)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _add(found: list[Gap], gap: Gap, span: float) -> None:
    if found and found[-1].why == gap.why and gap.since - found[-1].until <= span:
        found[-1] = Gap(found[-1].since, gap.until, gap.why)
    else:
        found.append(gap)


def judged(
    site: str, beats: Sequence[float | None], hour: Sequence[LagSample], day: Sequence[LagSample], *, rpo: float
) -> Check:
    """Pure. beats: the heartbeat row at the standby, read twice some seconds apart. hour: samples of a second; day: of
    a minute. A gap counts where it is longer than the RPO objective: a disaster in it would have cost more than agreed.
    """
    recent = hour[0].at if hour else float("inf")
    found = gaps([one for one in day if one.at + 60 <= recent], span=60.0, rpo=rpo) + gaps(hour, span=1.0, rpo=rpo)
    long = [gap for gap in found if gap.until - gap.since > rpo or gap.why == "behind"]
    evidence: dict[str, Any] = {
        "beats": list(beats),
        "samples": len(hour) + len(day),
        "gaps": [{"since": gap.since, "until": gap.until, "why": gap.why} for gap in long[:MOST_GAPS]],
    }
    first, last = beats
    if first is None or last is None:
        return Check(
            NAME, NAME, site, Outcome.UNKNOWN, "there is no heartbeat to be read", "secondsite apply", True, evidence
        )
    if last <= first:
        return Check(
            NAME,
            NAME,
            site,
            Outcome.DIFFERENT,
            "the heartbeat at the standby stands still",
            "secondsite status",
            True,
            evidence,
        )
    if long:
        longest = max(long, key=lambda gap: gap.until - gap.since)
        since = _clock(longest.since)
        message = (
            f"it goes on; {len(long)} gaps in the last {HOURS:g} h,"
            f" the longest of {longest.until - longest.since:.0f} s from {since} UTC ({_WHY[longest.why]})"
        )
        hint = f"journalctl -u secondsite-agent --utc --since '{since}'   (at both sites)"
        return Check(NAME, NAME, site, Outcome.DIFFERENT, message, hint, True, evidence)
    covered = (max(one.at for one in hour) - min(one.at for one in (*day, *hour))) / 3600 if hour else 0.0
    return Check(
        NAME,
        NAME,
        site,
        Outcome.EQUAL,
        f"it goes on, without a gap in the {covered:.1f} h that are known",
        "",
        True,
        evidence,
    )
