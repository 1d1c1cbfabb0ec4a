"""When a silent primary was last heard, and when nobody knows."""

from __future__ import annotations

from secondsite.objectives.silence import heard_at
from secondsite.objectives.snapshot import LastPrimary
from secondsite.recovery.failover.assess import estimate
from tests.unit.objectives_worlds import NOW, spec, standby

WATCHED = LastPrimary(NOW - 120, 1000, 1, heartbeat_at=NOW - 121, clock_offset=0.0)
DAYS = 3 * 86_400.0


def test_the_last_answer_is_the_last_sign_of_life() -> None:
    assert heard_at(WATCHED, None, NOW, beat_here=NOW - 121) == NOW - 120


def test_a_heartbeat_that_came_long_after_the_last_look_says_that_nobody_was_watching() -> None:
    blind = LastPrimary(NOW - DAYS, 1000, 1, heartbeat_at=NOW - DAYS, clock_offset=0.0)
    assert heard_at(blind, None, NOW, beat_here=NOW - 120) is None
    lost = estimate(
        standby(heartbeat_at=NOW - 120, primary_told_at=None), blind, {"uploads": NOW - DAYS},
        rules=spec().database, now=NOW,
    )  # fmt: skip
    assert lost["estimated_seconds"] is None, "three seconds of three days would be a lie"
    assert lost["at_most_seconds"] == DAYS
