"""The moments that a reader looks for, on the clock that starts with the fault. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.clock import from_text
from secondsite.evidence.report import Moment, Report, rehearsed

TURNING_STEP = "promote"
_NAMES = {"fault": "fault", "detection": "noticed", "decision": "command", "customer": "first customer served"}
_STEPS = {TURNING_STEP: "promoted", "dns": "DNS moved"}
_WORKED = ("done", "already")


@dataclass(frozen=True, slots=True)
class Milestone:
    """A moment with a short name. seconds: since the fault."""

    kind: str
    label: str
    seconds: float
    at: str
    what: str


def milestones(report: Report) -> list[Milestone]:
    """Fault, detection, command, promotion, DNS, first customer: those that were seen, in order."""
    found: dict[str, Milestone] = {}
    for moment in report["moments"]:
        name = _NAMES.get(moment["kind"])
        if name and moment["kind"] == "fault" and not rehearsed(report):
            name = "last sign of life"
        if name and moment["kind"] not in found:
            found[moment["kind"]] = Milestone(
                moment["kind"], name, moment["seconds"], moment["at"], moment["what"]
            )  # fmt: skip
    zero = fault_at(report)
    for step in report["procedure"].get("steps", ()):
        name = _STEPS.get(step["name"])
        if name and zero is not None and step.get("ended_at") and step["outcome"] in _WORKED:
            seconds = from_text(step["ended_at"]).timestamp() - zero
            found[step["name"]] = Milestone(step["name"], name, seconds, step["ended_at"], step.get("title") or name)
    return sorted(found.values(), key=lambda one: one.seconds)


def fault_at(report: Report) -> float | None:
    """Unix seconds of the fault; None in a report without a moment."""
    moments: list[Moment] = report["moments"]
    chosen = next((one for one in moments if one["kind"] == "fault"), moments[0] if moments else None)
    return None if chosen is None else from_text(chosen["at"]).timestamp() - chosen["seconds"]


def since_fault(report: Report, at: str | None) -> float | None:
    """Seconds from the fault to ``at``."""
    zero = fault_at(report)
    return None if zero is None or not at else from_text(at).timestamp() - zero


def command_at(report: Report) -> float | None:
    """Unix seconds of the command to recover."""
    commanded = report["procedure"].get("arguments", {}).get("commanded_at")
    if commanded:
        return from_text(str(commanded)).timestamp()
    decided = next((one["at"] for one in report["moments"] if one["kind"] == "decision"), None)
    return None if decided is None else from_text(decided).timestamp()
