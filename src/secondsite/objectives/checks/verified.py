"""The check of what ``verify`` last found at the standby."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity

registry = Registry()


@registry.check(
    "verified", Severity.CRITICAL, "Did the last verify find the copy to be what it should be?", Needs.STANDBY
)
def verified(judged: Judged) -> Iterator[Problem]:
    """A standby can stream without lag and be wrong: a disk, memory, somebody's hand. A finding stays until ``verify``
    finds the same check equal. A heartbeat that once had a gap is a warning: it says nothing about the copy."""
    for state in judged.situation.here:
        if state.site != judged.situation.standby or state.verified is None:
            continue
        for failed in state.verified.failed:
            when = datetime.fromtimestamp(failed.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            severity = Severity.WARNING if failed.kind == "heartbeat" else None
            yield Problem(
                state.site,
                f"verify found at {when}: {failed.name}: {failed.message}",
                failed.hint or "secondsite verify",
                severity,
            )
