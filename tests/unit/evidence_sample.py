"""A game day as it happens: 03:12 at oslo, the power goes, bergen takes over. Deterministic."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from secondsite.clock import to_text

FAULT = datetime(2026, 11, 22, 3, 12, 0, 41_000, UTC)
OSLO, BERGEN = "192.0.2.11", "198.51.100.12"
LOST_AT, BACK_AT = -0.093, 4.166
COMMAND = 1.412
# name, title, site, begin and end in seconds since the command
STEPS = (
    ("assess", "Look at the standby and keep the evidence", "bergen", 0.004, 0.041),
    ("fence", "Fence the old primary", "oslo", 0.043, 0.391),
    ("files", "Fetch the last files", "bergen", 0.392, 0.497),
    ("drain", "Replay everything received", "bergen", 0.392, 0.455),
    ("quarantine", "Cut the old primary off from this site", "bergen", 0.498, 0.587),
    ("promote", "Promote the standby", "bergen", 0.589, 0.861),
    ("files-writable", "Make the file sets writable", "bergen", 0.862, 0.901),
    ("prove", "Commit a write on the new primary", "bergen", 0.862, 0.893),
    ("dns", "Point the DNS here", "bergen", 0.863, 1.204),
    ("application", "Start the application", "bergen", 0.902, 2.377),
    ("checkpoint", "Checkpoint on the new timeline", "bergen", 2.379, 14.912),
    ("fence-again", "Ask the old primary once more to stop", "oslo", 2.380, 7.392),
)


def at(seconds: float) -> str:
    """RFC 3339, so many seconds after the fault."""
    return to_text(FAULT + timedelta(seconds=seconds))


def sample() -> dict[str, Any]:
    """A game day that passed: three orders and one file were lost, within the objectives."""
    series = _series()
    return {
        "report": "gameday",
        "id": "20261122T031200Z-gameday-1a2b",
        "service": "shop",
        "secondsite_version": "0.1.0",
        "created_at": at(96.2),
        "scope": {
            "sites": {
                "oslo": _site("Example Hosting AS", [59.91, 10.75], OSLO),
                "bergen": _site("Fjord Drift AS", [60.39, 5.32], BERGEN),
            },
            "database": "15/main", "mode": "async", "files": ["uploads"], "dns": ["shop.example.test"],
            "config_sha256": "5f0c6a9e41d7c1b2a8e4930d7b6f15c2a9d0e8b7f6a5948372615049382716ab",
        },
        "scenario": {
            "fault": "power-off", "title": "The host loses its power", "site": "oslo", "test_type": "full",
            "reason": "quarterly game day, Q4", "undo": "oslo gets its power back", "approver": None,
        },
        "objectives": {"rpo_seconds": 60.0, "rto_seconds": 300.0},
        "moments": _moments(),
        "customer": {
            "attempts": len(series), "orders_acknowledged": 361,
            "orders_lost": ["order-9c1f02aa-000038", "order-9c1f02aa-000039", "order-9c1f02aa-000040"],
            "files_acknowledged": 73, "files_lost": ["file-b7710e55-000008"],
            "last_good_before": at(LOST_AT), "first_good_after": at(BACK_AT),
            "outage_seconds": 4.259, "series": series,
        },
        "rto": {
            "objective_seconds": 300.0, "detection_seconds": 1.379, "procedure_seconds": 2.377,
            "command_to_served_seconds": 2.754, "customer_outage_seconds": 4.259, "met": True,
        },
        "rpo": {
            "objective_seconds": 60.0, "estimated_seconds": 0.874, "at_most_seconds": 2.291,
            "measured_seconds": 0.612, "orders_lost": 3, "files_lost": 1, "met": True,
        },
        "noticed": "oslo does not answer: no sign of life for 1.3 s",
        "procedure": _procedure(),
        "checks": [
            {"name": "old primary accepts no write", "passed": True,
             "told": "standby: bergen is active, says its agent and 2 of 2 authoritative name servers"},
            {"name": "customer's own list", "passed": True,
             "told": "every acknowledged order that the shop no longer knows is named in this report"},
            {"name": "nothing left behind", "passed": True, "told": "no timer, rule or table of the fault is left"},
        ],
        "status_before": _status(7, "oslo", "bergen", []),
        "status_after": _status(8, "bergen", "oslo", [
            {"check": "database.standby", "severity": "critical", "site": "oslo",
             "message": "oslo has no standby of generation 8", "hint": "secondsite failback"}]),
        "verdict": {"passed": True, "reasons": []},
        "claims": [
            "DNS: the record was seen changed at every authoritative server. A client that caches the old answer may "
            "need up to its TTL more.",
            "Operator and country of each site are declared in the file, not verified.",
            "The customer is one program in one place; others may have felt it differently.",
        ],
        "manifest": [],
    }  # fmt: skip


def empty() -> dict[str, Any]:
    """A game day in which nothing could be measured: no customer, and a failover that did not come far."""
    report = sample()
    report["customer"] = {**dict.fromkeys(report["customer"]), "attempts": 0, "series": []}
    report["rto"] = {**dict.fromkeys(report["rto"]), "objective_seconds": 300.0}
    report["rpo"] = {**dict.fromkeys(report["rpo"]), "objective_seconds": 60.0}
    report["moments"] = [one for one in report["moments"] if one["kind"] in ("fault", "decision")]
    steps = report["procedure"]["steps"][:3]
    steps[1] |= {"outcome": "failed", "message": "oslo could not be fenced", "hint": "make sure that it is off"}
    steps[2] |= {"outcome": "skipped", "started_at": None, "ended_at": None, "seconds": 0.0}
    report["procedure"] |= {"steps": steps, "outcome": "rolled_back", "fence": None}
    report["procedure"]["rto"] = {"measured_seconds": None, "objective_seconds": 300.0, "met": None}
    report["verdict"] = {"passed": False, "reasons": ["the failover ended rolled_back", "RTO could not be measured"]}
    return report


def _site(operator: str, location: list[float], public: str) -> dict[str, Any]:
    return {"operator": operator, "country": "NO", "location": location, "public": public}


def _moments() -> list[dict[str, Any]]:
    found = [
        (0.0, "fault", "The host loses its power", "oslo"),
        (1.379, "detection", "status says: oslo does not answer: no sign of life for 1.3 s", "bergen"),
        (COMMAND, "decision", "secondsite failover --to bergen", "bergen"),
        *((COMMAND + end, "step", f"{title}: done", site) for _, title, site, _, end in STEPS),
        (BACK_AT, "customer", "first customer is served again", "bergen"),
        (21.480, "undo", "oslo gets its power back", "oslo"),
        (58.932, "check", "oslo is back: its database is standby", "oslo"),
    ]
    return [
        {"at": at(seconds), "seconds": seconds, "kind": kind, "what": what, "site": site}
        for seconds, kind, what, site in sorted(found)
    ]


def _series() -> list[dict[str, Any]]:
    chance = random.Random(22)
    series = []
    for kind, every in (("order", 0.2), ("file", 1.0)):
        for number in range(int(76 / every)):
            t = round(-8.0 + number * every + chance.uniform(0, 0.01), 3)
            ok = t < LOST_AT - 0.02 or t > 3.9
            if t > 3.9:
                ms, site = chance.uniform(9, 21), BERGEN
            else:
                ms, site = chance.uniform(11, 26), OSLO
            series.append({"t": t, "ok": ok, "kind": kind, "ms": round(ms, 1) if ok else None, "site": site})
    return sorted(series, key=lambda one: float(str(one["t"])))


def _procedure() -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"name": name, "title": title, "site": site, "started_at": at(COMMAND + begin), "ended_at": at(COMMAND + end),
         "seconds": round(end - begin, 4), "outcome": "done", "message": None, "hint": None, "details": {}}
        for name, title, site, begin, end in STEPS
    ]  # fmt: skip
    return {
        "procedure": "failover", "id": "20261122T031201Z-failover-77e0", "service": "shop", "outcome": "completed",
        "arguments": {"to": "bergen", "commanded_at": at(COMMAND), "reason": "quarterly game day, Q4"},
        "steps": steps,
        "rto": {"measured_seconds": 2.377, "objective_seconds": 300.0, "met": True},
        "rpo": {"estimated_seconds": 0.874, "at_most_seconds": 2.291, "known_bytes": 18_432,
                "objective_seconds": 60.0, "met": True},
        "fence": "unconfirmed", "errors": [],
        "journal": "/var/lib/secondsite/journal/20261122T031201Z-failover-77e0.jsonl",
        "journal_head": "c0ffee12" * 8,
    }  # fmt: skip


def _status(generation: int, primary: str, standby: str, findings: list[dict[str, Any]]) -> dict[str, Any]:
    def site(role: str) -> dict[str, Any]:
        return {"role": role, "reachable": True, "database": {"state": "streaming", "timeline": generation}}

    return {
        "service": "shop", "taken_at": at(-9.0 if generation == 7 else 90.0), "generation": generation,
        "primary": primary, "standby": standby,
        "sites": {primary: site("primary"), standby: site("standby")},
        "replicas": [
            {"name": "database", "kind": "database", "state": "streaming", "lag_seconds": 0.4, "lag_bytes": 0},
            {"name": "uploads", "kind": "files", "state": "fresh", "lag_seconds": 1.1, "lag_bytes": None},
        ],
        "rpo": {"estimated_seconds": 1.1, "worst": "uploads"},
        "rto": {"predicted_seconds": 2.5, "basis": "3 recoveries"},
        "ready": not findings, "findings": findings,
    }  # fmt: skip
