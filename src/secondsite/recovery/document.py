"""A procedure's document: the same facts for the terminal, for programs and for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondsite.clock import from_text
from secondsite.errors import Exit, SecondsiteError
from secondsite.events import Result
from secondsite.recovery.engine import Outcome
from secondsite.recovery.history import Entry
from secondsite.recovery.journal import Journal
from secondsite.recovery.step import StepOutcome, StepResult
from secondsite.spec import Spec

SERVED_BY = ("dns", "application")  # users are served once these have ended


def describe(
    spec: Spec,
    *,
    procedure: str,
    procedure_id: str,
    arguments: Mapping[str, Any],
    outcome: Outcome,
    steps: Sequence[StepOutcome],
    journal: Journal | Entry,
    seconds: float | None,
    loss: Mapping[str, Any],
    out_since: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Result:
    """The document of a procedure that has ended, and the exit code that goes with it.

    seconds: how long users waited, as this procedure counts it. loss: what is known of the work lost. out_since: the
    last sign of life before (RFC 3339), where users are without service since then and not only since the command.
    more: keys that only this procedure has.
    """
    by_name = {step.name: step for step in steps}
    estimated = loss.get("estimated_seconds")
    outage = None if out_since is None else recovery_seconds(out_since, steps)
    errors = [step.error for step in steps if step.error is not None]
    document = {
        "procedure": procedure,
        "id": procedure_id,
        "service": spec.service.name,
        "outcome": outcome.value,
        "arguments": dict(arguments),
        "steps": [step_document(step) for step in steps],
        "rto": {
            "measured_seconds": seconds,
            "objective_seconds": spec.objectives.rto,
            "met": None if seconds is None else seconds <= spec.objectives.rto,
            **({} if out_since is None else _since(out_since, outage, spec.objectives.rto)),
        },
        "rpo": {
            **loss,
            "objective_seconds": spec.objectives.rpo,
            "met": None if estimated is None else estimated <= spec.objectives.rpo,
        },
        "fence": by_name["fence"].details.get("fence") if "fence" in by_name else None,
        "errors": [error.as_json() for error in errors],
        "journal": str(journal.path),
        "journal_head": journal.records[-1].hash if journal.records else None,
        **(more or {}),
    }
    return Result(document, int(exit_code(outcome, document, errors)))


def _since(out_since: str, outage: float | None, objective: float) -> dict[str, Any]:
    """What users felt: the operator's way to the command counts for them."""
    met = None if outage is None else outage <= objective
    return {"outage_since": out_since, "outage_seconds": outage, "outage_met": met}


def step_document(step: StepOutcome) -> dict[str, Any]:
    """One step: {name, title, site, started_at, ended_at, seconds, outcome, message, hint, details}."""
    return {
        "name": step.name,
        "title": step.title,
        "site": step.site,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "seconds": round(step.seconds, 4),
        "outcome": step.result.value,
        "message": step.error.message if step.error else None,
        "hint": step.error.hint if step.error else None,
        "details": dict(step.details),
    }


def recovery_seconds(commanded_at: str, steps: Sequence[StepOutcome]) -> float | None:
    """Pure: from the command, or any moment, to users being served; None where they are not."""
    served = [step for step in steps if step.name in SERVED_BY]
    worked = (StepResult.DONE, StepResult.ALREADY)
    if not served or any(step.result not in worked or step.ended_at is None for step in served):
        return None
    last = max(from_text(step.ended_at) for step in served if step.ended_at)
    return round((last - from_text(commanded_at)).total_seconds(), 4)


def exit_code(outcome: Outcome, document: Mapping[str, Any], errors: Sequence[SecondsiteError]) -> Exit:
    """Pure: the contract's exit code."""
    match outcome:
        case Outcome.COMPLETED:
            rto = document["rto"]
            missed = False in (rto["met"], rto.get("outage_met"), document["rpo"]["met"])
            return Exit.OBJECTIVE_MISSED if missed else Exit.OK
        case Outcome.ROLLED_BACK:
            usage = any(error.exit is Exit.USAGE for error in errors)
            return Exit.USAGE if usage else Exit.UNCHANGED
        case _:
            return Exit.HALFWAY
