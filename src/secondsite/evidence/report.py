"""The report of a game day, or of a failover, as types. The published schema is made from them. Keys are only added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

At = Annotated[str, Field(description="RFC 3339 in UTC")]
Measured = Annotated[float | None, Field(description="seconds; null where it was not measured, never zero instead")]


class ScopeSite(TypedDict):
    """A site as the file declares it."""

    operator: str | None
    country: str | None
    location: list[float] | None
    public: str | None


class Scope(TypedDict):
    """What was rehearsed, and by which version of the file."""

    sites: dict[str, ScopeSite]
    database: str
    mode: str
    files: list[str]
    dns: list[str]
    config_sha256: str


class Scenario(TypedDict):
    """What was broken, where and by whose leave."""

    fault: str
    title: str
    site: str
    test_type: Annotated[str, Field(description="full or planned")]
    reason: str
    undo: Annotated[str, Field(description="how and when the fault is undone")]
    approver: str | None


class Objectives(TypedDict):
    """Fixed before the game day began."""

    rpo_seconds: float
    rto_seconds: float


class Moment(TypedDict):
    """Something that happened. seconds: since the fault."""

    at: At
    seconds: float
    what: str
    site: str | None
    kind: Annotated[str, Field(description="fault, detection, decision, step, customer, undo or check")]


class Felt(TypedDict):
    """One attempt of the customer. t: seconds since the fault; site: the address that was asked."""

    t: float
    ok: bool
    kind: str
    ms: float | None
    site: str | None


class Customer(TypedDict):
    """What the customer felt, and which acknowledged work is gone."""

    attempts: int
    orders_acknowledged: int | None
    orders_lost: list[str] | None
    files_acknowledged: int | None
    files_lost: list[str] | None
    last_good_before: str | None
    first_good_after: str | None
    outage_seconds: Measured
    series: list[Felt]


class Rto(TypedDict):
    """Time without service. met is null where it could not be measured."""

    objective_seconds: float
    detection_seconds: Measured
    procedure_seconds: NotRequired[Measured]
    command_to_served_seconds: Measured
    customer_outage_seconds: Measured
    outage_since: NotRequired[Annotated[str | None, Field(description="failover: the old primary's last sign of life")]]
    outage_seconds: NotRequired[Annotated[float | None, Field(description="failover: from then to service elsewhere")]]
    met: bool | None


class Rpo(TypedDict):
    """Work lost, as it was estimated beforehand and as it was measured."""

    objective_seconds: float
    estimated_seconds: Measured
    at_most_seconds: Measured
    measured_seconds: Measured
    orders_lost: int | None
    files_lost: int | None
    rows_lost: NotRequired[Annotated[int | None, Field(description="failover: found at the old primary alone")]]
    transactions_lost: NotRequired[
        Annotated[int | None, Field(description="failover: committed at the old primary alone; our own heartbeats too")]
    ]
    last_lost_at: NotRequired[
        Annotated[str | None, Field(description="failover: the last lost commit, by the old primary's clock")]
    ]
    prepared_lost: NotRequired[
        Annotated[int | None, Field(description="failover: prepared at the old primary alone, and never decided")]
    ]
    met: bool | None


class Check(TypedDict):
    """A named check and what it saw."""

    name: str
    passed: bool
    told: str


class Verdict(TypedDict):
    """Passed only where nothing speaks against it."""

    passed: bool
    reasons: list[str]


class Evidence(TypedDict):
    """A file kept with the report."""

    file: str
    sha256: str
    bytes: NotRequired[int]
    told: NotRequired[Annotated[str, Field(description="what the file holds, and what was proven of it")]]


class Report(TypedDict):
    """`report.json` of a game day, or of a failover that was none."""

    report: Literal["gameday", "failover"]
    id: str
    service: str
    secondsite_version: str
    created_at: At
    scope: Scope
    scenario: Scenario
    objectives: Objectives
    moments: list[Moment]
    customer: Customer
    rto: Rto
    rpo: Rpo
    noticed: NotRequired[str | None]
    found: NotRequired[Annotated[dict[str, Any] | None, Field(description="failover: what only the old primary had")]]
    procedure: Annotated[dict[str, Any], Field(description="the procedure document, see `secondsite schema procedure`")]
    checks: list[Check]
    status_before: dict[str, Any]
    status_after: dict[str, Any]
    verdict: Verdict
    claims: Annotated[list[str], Field(description="what this report says, and where that ends")]
    manifest: list[Evidence]


_EMPTY: Mapping[str, Any] = {
    "id": "", "service": "", "secondsite_version": "", "created_at": None, "noticed": None,
    "scope": {"sites": {}, "database": "", "mode": "", "files": [], "dns": [], "config_sha256": ""},
    "scenario": dict.fromkeys(("fault", "title", "site", "test_type", "reason", "undo"), "") | {"approver": None},
    "objectives": {"rpo_seconds": None, "rto_seconds": None},
    "moments": [], "checks": [], "claims": [], "manifest": [], "status_before": {}, "status_after": {},
    "customer": {**dict.fromkeys(Customer.__annotations__), "series": [], "attempts": 0},
    "rto": dict.fromkeys(Rto.__annotations__),
    "rpo": dict.fromkeys(Rpo.__annotations__),
    "procedure": {
        "procedure": None, "id": None, "outcome": None, "steps": [], "rto": {}, "rpo": {}, "arguments": {},
        "journal_head": None,
    },
    "verdict": {"passed": False, "reasons": []},
}  # fmt: skip


def rehearsed(report: Report) -> bool:
    """Pure: a game day, with a customer of its own; not a failover that was needed."""
    return report.get("report") != "failover"


def complete(document: Mapping[str, Any]) -> Report:
    """Pure: the report with every key there; what is missing is null or empty, never a number."""
    filled: dict[str, Any] = dict(document)
    for key, empty in _EMPTY.items():
        given = document.get(key)
        if given is None:
            filled[key] = empty
        elif isinstance(empty, dict):
            filled[key] = {**empty, **{name: value for name, value in given.items() if value is not None}}
    return cast(Report, filled)
