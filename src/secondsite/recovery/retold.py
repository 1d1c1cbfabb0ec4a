"""A procedure's document, told again from its journal: what was proven then is all that is needed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from secondsite.errors import FinalError
from secondsite.recovery.document import describe, recovery_seconds
from secondsite.recovery.engine import GONE, Outcome
from secondsite.recovery.failover.plan import STEPS
from secondsite.recovery.history import Entry
from secondsite.recovery.journal import Kind, Record
from secondsite.recovery.step import StepOutcome, StepResult
from secondsite.spec import Spec

_TITLES = {step.name: step.title for step in STEPS}


def failover_of(entry: Entry, spec: Spec) -> Mapping[str, Any]:
    """The document that the failover of this journal ended with. One that has not ended is told as ``blocked``."""
    arguments: Mapping[str, Any] = entry.opened.get("arguments") or {}
    steps = tuple(outcomes(entry))
    loss = next((step.details for step in steps if step.name == "assess"), {}).get("rpo", {})
    return describe(
        spec,
        procedure=str(entry.opened["procedure"]),
        procedure_id=entry.id,
        arguments=arguments,
        outcome=entry.position.outcome or Outcome.BLOCKED,
        steps=steps,
        journal=entry,
        seconds=recovery_seconds(str(arguments["commanded_at"]), steps),
        loss=loss,
        out_since=loss.get("heard_at"),
    ).document


def outcomes(entry: Entry) -> Iterator[StepOutcome]:
    """Each step as the journal has it last; one that it does not know was skipped."""
    begun: dict[str, str] = {}
    ended: dict[str, tuple[Record, str | None]] = {}
    for record in entry.records:
        name = str(record.body.get("step", ""))
        if record.kind is Kind.INTENT:
            begun[name] = record.at
        elif record.kind is Kind.RESULT and record.body["result"] in (*StepResult, GONE, "undo-failed"):
            ended[name] = record, begun.get(name)
    for name in entry.opened.get("steps", ()):
        title = _TITLES.get(name, name)
        if name not in ended:
            yield StepOutcome(name, str(entry.opened["arguments"]["to"]), title, StepResult.SKIPPED)
        else:
            yield _outcome(name, title, *ended[name])


def _outcome(name: str, title: str, record: Record, began: str | None) -> StepOutcome:
    body = record.body
    result = body["result"] if body["result"] in tuple(StepResult) else StepResult.FAILED
    return StepOutcome(
        name, str(body.get("site") or ""), title, StepResult(result), began, record.at,
        float(body.get("seconds") or 0.0), body.get("details") or {}, _error(body),
    )  # fmt: skip


def _error(body: Mapping[str, Any]) -> FinalError | None:
    told = body.get("error")
    if not told:
        return None
    return FinalError(str(told["message"]), slug=str(told["error"]), host=told.get("host"), hint=told.get("hint"))
