"""The account of a game day: everything that was seen, put into the shape of a report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from secondsite import __version__
from secondsite.clock import to_text
from secondsite.rehearsal.felt import Attempt, Outage, lost_seconds, outage
from secondsite.spec import Spec
from secondsite.spec.scope import scope

CLAIMS = (
    "DNS: the record was seen changed at every authoritative server. A client that caches the old answer may need up "
    "to its TTL more.",
    "Operator and country of each site are declared in the file, not verified.",
    "The customer is one program in one place; others may have felt it differently.",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A report's document, and the evidence files that go with it. halfway: a site was left in a state that a person
    must look at."""

    document: dict[str, Any]
    evidence: dict[str, bytes]
    halfway: bool = False


def account(
    *,
    spec: Spec,
    report_id: str,
    config_sha256: str,
    scenario: Mapping[str, Any],
    moments: Sequence[Mapping[str, Any]],
    checks: Sequence[Mapping[str, Any]],
    fault_at: float,
    noticed: str | None,
    attempts: Sequence[Attempt],
    lost: Mapping[str, Any],
    procedure: dict[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    evidence: dict[str, bytes],
    halfway: bool = False,
) -> Account:
    """Put a game day together. fault_at and every moment's ``at``: unix seconds."""
    found = outage([one for one in attempts if (one.acknowledged_at or one.sent_at) >= fault_at - 5])
    rto = _rto(spec, moments, fault_at, found, procedure)
    rpo = _rpo(spec, attempts, lost, found, procedure)
    verdict = _verdict(rto, rpo, checks, procedure)
    document = {
        "report": "gameday",
        "id": report_id,
        "service": spec.service.name,
        "secondsite_version": __version__,
        "created_at": to_text(datetime.now(UTC)),
        "scope": scope(spec, config_sha256),
        "scenario": {**scenario, "test_type": "full", "undo": _undo(moments)},
        "objectives": {"rpo_seconds": spec.objectives.rpo, "rto_seconds": spec.objectives.rto},
        "moments": sorted(
            ({**one, "at": _text(one["at"]), "seconds": round(one["at"] - fault_at, 3)} for one in moments),
            key=lambda one: one["seconds"],
        ),
        "customer": _customer(attempts, lost, fault_at, found),
        "rto": rto,
        "rpo": rpo,
        "noticed": noticed,
        "procedure": procedure,
        "checks": [dict(check) for check in checks],
        "status_before": dict(before),
        "status_after": dict(after),
        "verdict": verdict,
        "claims": list(CLAIMS),
        "manifest": [],
    }
    return Account(document, evidence, halfway)


def _customer(
    attempts: Sequence[Attempt], lost: Mapping[str, Any], fault_at: float, found: Outage | None
) -> dict[str, Any]:
    return {
        "attempts": len(attempts),
        "orders_acknowledged": lost.get("orders_acknowledged"),
        "orders_lost": lost.get("orders_lost"),
        "files_acknowledged": lost.get("files_acknowledged"),
        "files_lost": lost.get("files_lost"),
        "last_good_before": _text(found.last_good_before) if found else None,
        "first_good_after": _text(found.first_good_after) if found else None,
        "outage_seconds": round(found.seconds, 3) if found else None,
        "series": [
            {
                "t": round(one.sent_at - fault_at, 3),
                "ok": one.acknowledged_at is not None,
                "kind": one.kind,
                "ms": None if one.acknowledged_at is None else round((one.acknowledged_at - one.sent_at) * 1000, 1),
                "site": one.site_address,
            }
            for one in attempts
        ],
    }


def _rto(
    spec: Spec,
    moments: Sequence[Mapping[str, Any]],
    fault_at: float,
    found: Outage | None,
    procedure: Mapping[str, Any],
) -> dict[str, Any]:
    at = {one["kind"]: float(one["at"]) for one in reversed(moments)}
    decided, served, noticed = at.get("decision"), at.get("customer"), at.get("detection")
    felt = found.seconds if found else None
    return {
        "objective_seconds": spec.objectives.rto,
        "detection_seconds": None if noticed is None else round(noticed - fault_at, 3),
        "procedure_seconds": procedure["rto"]["measured_seconds"],
        "command_to_served_seconds": None if decided is None or served is None else round(served - decided, 3),
        "customer_outage_seconds": None if felt is None else round(felt, 3),
        "met": None if served is None else (felt or 0.0) <= spec.objectives.rto,
    }


def _rpo(
    spec: Spec,
    attempts: Sequence[Attempt],
    lost: Mapping[str, Any],
    found: Outage | None,
    procedure: Mapping[str, Any],
) -> dict[str, Any]:
    orders, files = lost.get("orders_lost"), lost.get("files_lost")
    measured = None if orders is None or files is None else lost_seconds(attempts, [*orders, *files], found)
    return {
        "objective_seconds": spec.objectives.rpo,
        "estimated_seconds": procedure["rpo"].get("estimated_seconds"),
        "at_most_seconds": procedure["rpo"].get("at_most_seconds"),
        "measured_seconds": None if measured is None else round(measured, 3),
        "orders_lost": None if orders is None else len(orders),
        "files_lost": None if files is None else len(files),
        "met": None if measured is None else measured <= spec.objectives.rpo,
    }


def _verdict(
    rto: Mapping[str, Any],
    rpo: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    procedure: Mapping[str, Any],
) -> dict[str, Any]:
    reasons = [f"{check['name']}: {check['told']}" for check in checks if not check["passed"]]
    if procedure["outcome"] not in ("completed", None):  # that none is known is told by a check
        reasons.append(f"the failover ended {procedure['outcome']}")
    for name, value in (("RTO", rto), ("RPO", rpo)):
        if value["met"] is None:
            reasons.append(f"{name} could not be measured")
        elif not value["met"]:
            reasons.append(f"{name} missed")
    return {"passed": not reasons, "reasons": reasons}


def _undo(moments: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(str(one["what"]) for one in moments if one["kind"] == "undo")


def _text(moment: float) -> str:
    return to_text(datetime.fromtimestamp(moment, UTC))
