"""The report of a failover that nobody had planned: the same report as a game day's, from its journal. Pure.

No customer was measured. What is told instead are the bounds that the journal proves, and what was found at the old
primary once it was taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondsite import __version__
from secondsite.clock import from_text
from secondsite.evidence.report import Customer, Rpo, Rto
from secondsite.recovery.unfetched import shown
from secondsite.spec import Spec
from secondsite.spec.scope import scope

CLAIMS = (
    "No customer was measured. The time without service is counted from the old primary's last sign of life to the "
    "moment at which DNS and application were observed at their new site. It may have been away before, or worked on.",
    "The work lost was reckoned when the decision was made: the most that can be missing if the old primary died when "
    "it fell silent, and the most if it worked on out of sight until then. Only what is found there afterwards can "
    "tell which.",
    "DNS: the record was seen changed at every authoritative server. A client that caches the old answer may need up "
    "to its TTL more.",
    "Operator and country of each site are declared in the file, not verified.",
)
CLOCKS_SECONDS = 5.0  # readiness warns of two clocks that are 2 s apart
NOT_READ = (
    "The old primary has not been taken back yet, or could not be asked from here: which rows and files were lost is "
    "not known. Write this report again afterwards."
)


def account(
    *,
    spec: Spec,
    config_sha256: str,
    procedure: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    lost_files: Sequence[str],
    created_at: str,
) -> dict[str, Any]:
    """The report's document. procedure: the failover's own. found: what only the old primary had ({transactions, rows,
    prepared, files}); it, or a part of it, is None where nobody has looked. lost_files: their names."""
    new = str(procedure["arguments"]["to"])
    old = spec.peer_of(new)
    rto, rpo = _rto(spec, procedure), _rpo(spec, procedure, found or {})
    return {
        "report": "failover",
        "id": procedure["id"],
        "service": spec.service.name,
        "secondsite_version": __version__,
        "created_at": created_at,
        "scope": scope(spec, config_sha256),
        "scenario": {
            "fault": "unplanned", "title": "The primary was lost", "site": old, "test_type": "none: it was real",
            "reason": procedure["arguments"].get("reason") or "", "undo": "", "approver": None,
        },
        "objectives": {"rpo_seconds": spec.objectives.rpo, "rto_seconds": spec.objectives.rto},
        "moments": _moments(procedure, old, new),
        "customer": {**_nobody(Customer), "attempts": 0, "series": [], "files_lost": list(lost_files)},
        "rto": rto,
        "rpo": rpo,
        "procedure": dict(procedure),
        "checks": [],
        "status_before": {},
        "status_after": {},
        "found": found,
        "verdict": _verdict(rto, rpo, procedure),
        "claims": [*CLAIMS, *([NOT_READ] if found is None else [])],
        "manifest": [],
    }  # fmt: skip


def _rto(spec: Spec, procedure: Mapping[str, Any]) -> dict[str, Any]:
    told = procedure["rto"]
    return {
        **_nobody(Rto),
        "objective_seconds": spec.objectives.rto,
        "procedure_seconds": told.get("measured_seconds"),
        "outage_since": told.get("outage_since"),
        "outage_seconds": told.get("outage_seconds"),
        "met": told.get("outage_met", told.get("met")),
    }


def _rpo(spec: Spec, procedure: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    told, files, prepared = procedure["rpo"], found.get("files"), found.get("prepared")
    return {
        **_nobody(Rpo),
        "objective_seconds": spec.objectives.rpo,
        "estimated_seconds": told.get("estimated_seconds"),
        "at_most_seconds": told.get("at_most_seconds"),
        "rows_lost": found.get("rows"),
        "transactions_lost": found.get("transactions"),
        "prepared_lost": None if prepared is None else len(prepared),
        "files_lost": None if files is None else sum(int(one["count"]) for one in files),
        "last_lost_at": found.get("last_at"),
        "met": _proven(procedure, found.get("last_at")),
    }


def _proven(procedure: Mapping[str, Any], last_lost_at: str | None) -> bool | None:
    """Whether the RPO is met; None where it only is if the old primary died at once, and nobody confirmed that, or
    what it has committed since says that it did not."""
    told = procedure["rpo"]
    met, most = told.get("met"), told.get("at_most_seconds")
    at_once = procedure.get("fence") == "confirmed" and not worked_on(
        procedure["rto"].get("outage_since"), last_lost_at
    )
    if met and not at_once and (most is None or most > told["objective_seconds"]):
        return None
    return None if met is None else bool(met)


def worked_on(silent_since: str | None, last_lost_at: str | None) -> bool:
    """Whether what was found at the old primary proves that it worked on when nobody heard it any more. Two hosts'
    clocks are compared, so some seconds prove nothing."""
    if silent_since is None or last_lost_at is None:
        return False
    return (from_text(last_lost_at) - from_text(silent_since)).total_seconds() > CLOCKS_SECONDS


def _nobody(part: Any) -> dict[str, None]:
    """Every field of a part of the report as not measured."""
    return dict.fromkeys(part.__annotations__)


def _moments(procedure: Mapping[str, Any], old: str, new: str) -> list[dict[str, Any]]:
    arguments, since = procedure["arguments"], procedure["rto"].get("outage_since")
    commanded = str(arguments["commanded_at"])
    zero = from_text(str(since or commanded)).timestamp()
    happened = [(commanded, "decision", f"secondsite failover --to {new}", new)]
    if since:
        happened.append((str(since), "fault", f"last sign of life of {old}", old))
    happened += [
        (str(step["ended_at"]), "step", f"{step['title']}: {shown(step['outcome'], step.get('details') or {})}",
         str(step["site"]))
        for step in procedure["steps"] if step["ended_at"]
    ]  # fmt: skip
    moments = [
        {"at": at, "seconds": round(from_text(at).timestamp() - zero, 3), "kind": kind, "what": what, "site": site}
        for at, kind, what, site in happened
    ]
    return sorted(moments, key=lambda one: float(str(one["seconds"])))


def _verdict(rto: Mapping[str, Any], rpo: Mapping[str, Any], procedure: Mapping[str, Any]) -> dict[str, Any]:
    reasons = [] if procedure["outcome"] == "completed" else [f"the failover ended {procedure['outcome']}"]
    for name, value in (("RTO", rto), ("RPO", rpo)):
        if value["met"] is None:
            reasons.append(f"{name} could not be measured")
        elif not value["met"]:
            reasons.append(f"{name} missed")
    return {"passed": not reasons, "reasons": reasons}
