"""Rows of the report's tables: every number once more, to the digit it was measured with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from secondsite.evidence.report import Report, rehearsed
from secondsite.evidence.words import NOT_MEASURED, clock, exact, met, objective
from secondsite.recovery.unfetched import printable, told_not_here

SHOWN = 120  # lost items that the page names; report.json names all


class Row(NamedTuple):
    """A measurement: what, how much, and from where to where it was counted."""

    name: str
    value: str
    basis: str


class State(NamedTuple):
    """The same fact before and after the game day."""

    name: str
    before: str
    after: str


class Lost(NamedTuple):
    """Acknowledged things that are gone. more: how many are not listed here."""

    title: str
    items: list[str]
    more: int


def measurements(report: Report) -> dict[str, list[Row]]:
    """By objective: what was measured and how it was counted."""
    rto, rpo, customer = report["rto"], report["rpo"], report["customer"]
    known = report["procedure"].get("rpo", {}).get("known_bytes")
    if not rehearsed(report):
        return _of_failover(report)
    return {
        "Time": [
            Row("RTO", objective(rto["objective_seconds"]), f"fixed beforehand; {met(rto['met'])}"),
            Row("Customers without service", exact(rto["customer_outage_seconds"]),
                "from the last acknowledged attempt before the outage to the first one after it"),
            Row("Detection", exact(rto["detection_seconds"]), "from the fault to the first finding that told of it"),
            Row("Command to first customer", exact(rto["command_to_served_seconds"]),
                "from the command to the first attempt that was acknowledged after it"),
            Row("Procedure", exact(rto.get("procedure_seconds")),
                "from the command until DNS and application were observed at their new site"),
        ],
        "Work": [
            Row("RPO", objective(rpo["objective_seconds"]), f"fixed beforehand; {met(rpo['met'])}"),
            Row("Lost, measured", exact(rpo["measured_seconds"]),
                "from the oldest lost acknowledgement to the last one before the outage"),
            Row("Lost, estimated when the decision was made", exact(rpo["estimated_seconds"]),
                "from the newest moment at the standby until the primary fell silent"),
            Row("At most", exact(rpo["at_most_seconds"]), "if the old primary had worked on out of sight until then"),
            Row("Database log known to be missing", NOT_MEASURED if known is None else f"{known:,} bytes",
                "of the write-ahead log, by the primary's last known position"),
            Row("Orders", _of(rpo["orders_lost"], customer["orders_acknowledged"]), "by the customer's own list"),
            Row("Files", _of(rpo["files_lost"], customer["files_acknowledged"]), "by the customer's own list"),
            Row("Attempts", str(customer["attempts"]), "orders and files that the customer tried in all"),
        ],
    }  # fmt: skip


def _of_failover(report: Report) -> dict[str, list[Row]]:
    """The same, where no customer was measured."""
    rto, rpo = report["rto"], report["rpo"]
    known, away = report["procedure"].get("rpo", {}).get("known_bytes"), rto.get("outage_seconds")
    waiting, _ = told_not_here(report["procedure"])
    return {
        "Time": [
            Row("RTO", objective(rto["objective_seconds"]), f"fixed beforehand; {met(rto['met'])}"),
            Row("Without service", exact(away),
                "from the old primary's last sign of life until DNS and application were observed at their new site"),
            Row("Procedure", exact(rto.get("procedure_seconds")), "the part of it since the command"),
        ],
        "Work": [
            Row("RPO", objective(rpo["objective_seconds"]), f"fixed beforehand; {met(rpo['met'])}"),
            Row("Lost, at most", exact(rpo["estimated_seconds"]),
                "if the old primary died when it fell silent: from the newest moment at the standby until then"),
            Row("Lost, at most", exact(rpo["at_most_seconds"]), "if it worked on out of sight until the decision"),
            Row("Last lost commit", rpo.get("last_lost_at") or NOT_MEASURED,
                "found at the old primary, by its own clock"),
            Row("Database log known to be missing", NOT_MEASURED if known is None else f"{known:,} bytes",
                "of the write-ahead log, by the primary's last known position"),
            Row("Transactions", _of(rpo.get("transactions_lost"), None),
                "found at the old primary, heartbeats of our own among them; one that only deleted left no row"),
            Row("Prepared transactions", _of(rpo.get("prepared_lost"), None),
                "found at the old primary, neither committed nor rolled back"),
            Row("Rows", _of(rpo.get("rows_lost"), None), "found at the old primary: secondsite report --lost-rows"),
            Row("Files", _of(rpo["files_lost"], None), "found at the old primary: secondsite report --lost-files"),
            Row("Changed paths not fetched", NOT_MEASURED if waiting is None else str(waiting),
                "told by the old primary before it fell silent, and not known to be here"),
        ],
    }  # fmt: skip


def states(report: Report) -> list[State]:
    """The service before and after."""
    before, after = report["status_before"], report["status_after"]
    if not before and not after:
        return []
    rows = [
        State("looked at", _moment(before.get("taken_at")), _moment(after.get("taken_at"))),
        State("generation", _said(before.get("generation")), _said(after.get("generation"))),
        State("ready for a failover", _said(before.get("ready")), _said(after.get("ready"))),
    ]
    rows += [State(f"role of {site}", _role(before, site), _role(after, site)) for site in report["scope"]["sites"]]
    names = dict.fromkeys(one["name"] for status in (before, after) for one in status.get("replicas", ()))
    return rows + [State(f"replica {name}", _replica(before, name), _replica(after, name)) for name in names]


def lost_items(report: Report) -> list[Lost]:
    """Orders, files and prepared transactions by name."""
    customer, found = report["customer"], report.get("found") or {}
    lists = (
        ("Orders", customer["orders_lost"]),
        ("Files", customer["files_lost"]),
        ("Prepared transactions", [printable(gid) for gid in found.get("prepared") or ()]),
        ("Changed paths not fetched", told_not_here(report["procedure"])[1]),
    )
    return [Lost(title, items[:SHOWN], max(0, len(items) - SHOWN)) for title, items in lists if items]


def _of(lost: int | None, acknowledged: int | None) -> str:
    if lost is None:
        return NOT_MEASURED
    return f"{lost} lost" if acknowledged is None else f"{lost} lost of {acknowledged} acknowledged"


def _moment(at: str | None) -> str:
    return f"{clock(at)} UTC" if at else "unknown"


def _said(value: object) -> str:
    return "unknown" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _role(status: Mapping[str, Any], site: str) -> str:
    found = status.get("sites", {}).get(site)
    return "unknown" if found is None else f"{found['role']}{'' if found['reachable'] else ', not reachable'}"


def _replica(status: Mapping[str, Any], name: str) -> str:
    found = next((one for one in status.get("replicas", ()) if one["name"] == name), None)
    if found is None:
        return "none"
    lag = found.get("lag_seconds")
    return f"{found['state']}, lag {'unknown' if lag is None else exact(lag)}"
