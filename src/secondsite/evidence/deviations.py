"""What did not go as it should have, from every part of a report, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secondsite.evidence.report import Report
from secondsite.recovery.left_open import undecided
from secondsite.recovery.unfetched import unfetched

_ORDER = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Deviation:
    """severity: critical (the verdict rests on it), warning or info."""

    severity: str
    what: str
    told: str


def deviations(report: Report) -> list[Deviation]:
    """Missed objectives, failed checks, steps that failed, findings that were not there before."""
    found = [*_checks(report), *_objectives(report), *_steps(report), *_findings(report)]
    said = {f"{one.what}: {one.told}" for one in found} | {one.what for one in found}
    rest = (Deviation("critical", reason, "") for reason in report["verdict"]["reasons"] if reason not in said)
    return sorted([*found, *rest], key=lambda one: _ORDER.index(one.severity) if one.severity in _ORDER else 9)


def _checks(report: Report) -> Iterator[Deviation]:
    for check in report["checks"]:
        if not check["passed"]:
            yield Deviation("critical", check["name"], check["told"])


def _objectives(report: Report) -> Iterator[Deviation]:
    for name, met in (("RTO", report["rto"]["met"]), ("RPO", report["rpo"]["met"])):
        if met is False:
            yield Deviation("critical", f"{name} missed", "")
        elif met is None:
            yield Deviation("critical", f"{name} could not be measured", "")


def _steps(report: Report) -> Iterator[Deviation]:
    procedure = report["procedure"]
    complete = procedure.get("outcome") == "completed"
    for step in procedure.get("steps", ()):
        if step["outcome"] in ("failed", "skipped", "undone"):
            told = ": ".join(part for part in (step["outcome"], step.get("message")) if part)
            yield Deviation("warning" if complete else "critical", step.get("title") or step["name"], told)
        elif (missing := unfetched(step)) is not None:
            yield Deviation("info", f"{step.get('title') or step['name']}: not everything was fetched", missing)
        elif (open_yet := undecided(step)) is not None:
            yield Deviation("info", f"{step.get('title') or step['name']}: something is left to decide", open_yet)
    if procedure.get("fence") == "unconfirmed" and procedure.get("outcome") in ("completed", "blocked"):
        told = "it did not answer; the guard at its start has to keep it from accepting writes"
        yield Deviation("info", "the old primary was not confirmed to be stopped", told)


def _findings(report: Report) -> Iterator[Deviation]:
    before = {_key(finding) for finding in report["status_before"].get("findings", ())}
    for finding in report["status_after"].get("findings", ()):
        if _key(finding) not in before and finding["severity"] != "info":
            site = f", {finding['site']}" if finding.get("site") else ""
            yield Deviation("warning", f"new afterwards: {finding['check']}{site}", finding["message"])


def _key(finding: Mapping[str, Any]) -> tuple[str, str | None]:
    return str(finding["check"]), finding.get("site")
