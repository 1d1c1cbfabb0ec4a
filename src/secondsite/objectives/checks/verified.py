"""The check of what ``verify`` last found at the standby."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity

registry = Registry()


def _blind(judged: Judged) -> str | None:
    """Nobody has verified, or the last who did could look at nothing: that is no yes."""
    standby = judged.situation.standby
    state = judged.situation.present(standby) if standby else None
    if state is None or state.verified is None:
        return f"{standby} was never verified: `secondsite verify`"
    return "the last verify could look at nothing: `secondsite verify`" if state.verified.seen == 0 else None


@registry.check(
    "verified", Severity.CRITICAL, "Did the last verify find the copy to be what it should be?", Needs.STANDBY,
    blind=_blind,
)  # fmt: skip
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
