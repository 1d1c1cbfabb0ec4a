"""The steps of the procedure as bars over time: what ran when, where, and at the same time as what. Pure geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondsite.clock import from_text
from secondsite.evidence.axis import Axis, Tick
from secondsite.evidence.milestones import TURNING_STEP, command_at
from secondsite.evidence.report import Report
from secondsite.evidence.words import span
from secondsite.recovery.left_open import left_open
from secondsite.recovery.unfetched import unfetched

LEFT, RIGHT = 464.0, 948.0
TOP, ROW = 42.0, 25.0
CUT_ABOVE = 4.0  # a step that lasts this many times longer than the recovery is cut, and says how long it was


@dataclass(frozen=True, slots=True)
class Bar:
    """One step. x and width are None where it never began. cut: it goes on beyond the picture."""

    title: str
    site: str
    outcome: str
    y: float
    x: float | None
    width: float
    told: str
    cut: bool
    standby: bool
    turning: bool
    message: str | None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Everything the template draws. turn: the point of no return; served: users are served from here."""

    height: float
    bottom: float
    ticks: list[Tick]
    bars: list[Bar]
    turn: float | None
    served: float | None
    served_told: str


def waterfall(report: Report) -> Waterfall | None:
    """The picture; None where no step is known."""
    steps = report["procedure"].get("steps") or []
    spans = {step["name"]: _span(step) for step in steps}
    known = [one for one in spans.values() if one is not None]
    if not steps or not known:
        return None
    zero = command_at(report)
    zero = min(begin for begin, _ in known) if zero is None else zero
    served, served_by = _served(report, zero)
    last = max([end - zero for _, end in known] + ([served] if served is not None else []))
    limit = last if served is None or last <= CUT_ABOVE * served else served * 1.6
    axis = Axis(0.0, limit or 1.0, LEFT, RIGHT)
    broken = report["scenario"]["site"]
    bars = [_bar(step, spans[step["name"]], axis, zero, TOP + ROW * place, broken) for place, step in enumerate(steps)]
    turn = next((spans[step["name"]] for step in steps if _turning(step)), None)
    bottom = TOP + ROW * len(steps)
    return Waterfall(
        bottom + 28, bottom, axis.ticks(70), bars,
        None if turn is None else axis.x(turn[0] - zero),
        None if served is None else axis.x(served), f"{served_by} {span(served)}",
    )  # fmt: skip


def _bar(
    step: Mapping[str, Any], when: tuple[float, float] | None, axis: Axis, zero: float, y: float, broken: str
) -> Bar:
    begin, end = (None, None) if when is None else (when[0] - zero, when[1] - zero)
    x = None if begin is None else axis.x(begin)
    width = 0.0 if x is None or end is None else round(max(2.5, axis.x(end) - x), 1)
    return Bar(
        step.get("title") or step["name"], step["site"], _outcome(step), y, x, width,
        "not begun" if when is None else span(when[1] - when[0]),
        end is not None and end > axis.end + 1e-6, step["site"] != broken, _turning(step),
        step.get("message") or left_open(step),
    )  # fmt: skip


def _span(step: Mapping[str, Any]) -> tuple[float, float] | None:
    """Begin and end in unix seconds. A step done before a resume knows its end and its duration."""
    if not step.get("ended_at"):
        return None
    end = from_text(step["ended_at"]).timestamp()
    began = step.get("started_at")
    return (from_text(began).timestamp() if began else end - float(step.get("seconds") or 0.0), end)


def _served(report: Report, zero: float) -> tuple[float | None, str]:
    """Seconds from the command to the first customer, else to the end of the steps that serve; which of them."""
    first = next((one["at"] for one in report["moments"] if one["kind"] == "customer"), None)
    if first is not None:
        return from_text(first).timestamp() - zero, "first customer served"
    measured = report["procedure"].get("rto", {}).get("measured_seconds")
    return (None if measured is None else float(measured)), "DNS and application there"


def _turning(step: Mapping[str, Any]) -> bool:
    return bool(step.get("point_of_no_return", step["name"] == TURNING_STEP))


def _outcome(step: Mapping[str, Any]) -> str:
    """A fence that nobody confirmed was carried out, and is not what an auditor may read as fenced; neither is a
    last pull that fetched nothing one that did."""
    if step["outcome"] == "done" and (step.get("details") or {}).get("fence") == "unconfirmed":
        return "unconfirmed"
    return "incomplete" if step["outcome"] == "done" and unfetched(step) else str(step["outcome"])
