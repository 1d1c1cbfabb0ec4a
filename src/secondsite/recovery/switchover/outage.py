"""How long users were without service, and what was lost: pure, from the journal and the steps' outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from secondsite.clock import from_text
from secondsite.recovery.document import SERVED_BY
from secondsite.recovery.engine import Outcome
from secondsite.recovery.journal import Kind, Record
from secondsite.recovery.step import StepOutcome, StepResult

REMEMBERED = 5
WORKED = (StepResult.DONE, StepResult.ALREADY)


def outage_seconds(records: Sequence[Record], steps: Sequence[StepOutcome]) -> float | None:
    """From the order to stop the writers to the application being healthy and the DNS pointing to it, on one clock.

    The order is the first one that was not taken back, in whichever run of the procedure it was given. None where the
    service has not moved.
    """
    began: str | None = None
    for record in records:
        if record.body.get("step") == "close":
            if record.kind is Kind.INTENT:
                began = began or record.at
            elif record.kind is Kind.UNDONE:
                began = None
    served = [step for step in steps if step.name in SERVED_BY]
    if began is None or any(step.result not in WORKED or step.ended_at is None for step in served):
        return None
    last = max(from_text(step.ended_at) for step in served if step.ended_at)
    return round((last - from_text(began)).total_seconds(), 4)


def loss(outcome: Outcome, steps: Sequence[StepOutcome]) -> Mapping[str, Any]:
    """Nothing, where it is proven that both databases ended alike and every file was fetched, or where it was taken
    back. Unknown otherwise."""
    by_name = {step.name: step for step in steps}
    proven = all(by_name[name].result in WORKED for name in ("equal", "files"))
    none = {"estimated_seconds": 0.0, "worst": None, "at_most_seconds": 0.0, "known_bytes": 0}
    if proven:
        details = by_name["equal"].details
        return {**none, "proof": {"checkpoint": details["checkpoint"], "timeline": details["timeline"]}}
    if outcome is Outcome.ROLLED_BACK:
        return none
    return {"estimated_seconds": None, "worst": None, "at_most_seconds": None, "known_bytes": None}


def expected(past: Sequence[float]) -> float | None:
    """The median of the last ones; None where there was none."""
    return round(median(past[-REMEMBERED:]), 3) if past else None
