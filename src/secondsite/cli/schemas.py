"""The JSON documents of the commands, as types: their published schemas are made from these.

Within a major version keys are only added. A document may hold more keys than its schema names.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from secondsite.cli import schemas_files
from secondsite.errors import UsageError

Moment = Annotated[str, Field(description="RFC 3339 in UTC")]
Said = Annotated[str | None, Field(description="null where there is nothing to say")]


class FaultDocument(TypedDict):
    """What is wrong at a place in the file."""

    path: Annotated[str, Field(description="place in the file, like sites.oslo.country or files[0].path")]
    line: int | None
    message: str
    hint: Said


class ErrorDocument(TypedDict):
    """What every command prints with --json when it does not reach its own document."""

    error: Annotated[str, Field(description="stable slug; `secondsite explain SLUG` says what it means")]
    message: str
    host: Said
    step: Said
    hint: Said
    exit_code: int
    also: NotRequired[Annotated[list[dict[str, Any]], Field(description="further errors of the same command")]]
    rejoin: NotRequired[Annotated[dict[str, Any], Field(description="failback: the document of the apply in it")]]
    faults: NotRequired[list[FaultDocument]]


class ValidateDocument(TypedDict):
    """`secondsite validate --json`."""

    file: str
    sha256: str | None
    valid: bool
    faults: list[FaultDocument]
    warnings: list[FaultDocument]


class InitDocument(TypedDict):
    """`secondsite init --json`."""

    file: str
    sha256: str
    moved_aside: Annotated[str | None, Field(description="where the file that was there went")]
    warnings: list[FaultDocument]


class FindingDocument(TypedDict):
    """What a named check found."""

    check: str
    severity: Literal["critical", "warning", "info"]
    site: Said
    message: str
    hint: Said


class SiteDatabaseDocument(TypedDict):
    """The database at one site."""

    state: str
    timeline: int | None


class SilentDocument(TypedDict):
    """A site that does not answer."""

    since: Annotated[str | None, Field(description="when it was last heard; null where nobody here heard it")]
    reason: str
    set_up: Annotated[bool, Field(description="false where its host answers and nothing is installed there yet")]


class LastProcedureDocument(TypedDict):
    """The newest procedure that is over, as a site's journal proves it."""

    procedure: str
    id: str
    site: Annotated[str | None, Field(description="whose journal it is")]
    outcome: Literal["completed", "rolled_back"]
    ended_at: Moment
    why: Annotated[str | None, Field(description="what failed first")]


class SiteDocument(TypedDict):
    """A site at one moment."""

    role: Literal["primary", "standby", "stopped", "absent", "unknown"]
    reachable: bool
    database: SiteDatabaseDocument
    former_primary: NotRequired[
        Annotated[bool, Field(description="was primary until the other took over, and is no standby yet")]
    ]
    held: NotRequired[Annotated[str | None, Field(description="why its guard keeps it read-only")]]
    age_seconds: NotRequired[Annotated[float | None, Field(description="how old what is told of it is")]]
    silent: NotRequired[SilentDocument]


class VersionsDocument(TypedDict):
    """The versions that are kept of a file set."""

    count: int
    newest_at: Annotated[str | None, Field(description="the moment whose files the newest holds")]
    overdue: Annotated[bool, Field(description="nobody has looked for too long whether one is needed")]
    problem: Annotated[str | None, Field(description="why the last one could not be made")]


class ReplicaDocument(TypedDict):
    """How far one replica is behind; null means unknown, never zero."""

    name: str
    kind: Literal["database", "files"]
    state: str
    lag_seconds: float | None
    lag_bytes: int | None
    lag_files: NotRequired[int | None]
    kept: NotRequired[str | None]
    loss_seconds: NotRequired[Annotated[float | None, Field(description="what a disaster now would cost of it")]]
    synchronous: NotRequired[Annotated[bool, Field(description="all that was acknowledged is at the standby")]]
    versions: NotRequired[Annotated[VersionsDocument | None, Field(description="null where none are to be kept")]]


class RpoDocument(TypedDict):
    """What a disaster now would cost."""

    estimated_seconds: float | None
    worst: Annotated[str | None, Field(description="the replica that is farthest behind")]


class RtoDocument(TypedDict):
    """How long recovery would take, and from what that is predicted."""

    predicted_seconds: float | None
    basis: Any


class AskedDocument(TypedDict):
    """A named check, asked. ok is null where nobody could look, and where the file names nothing to look at."""

    check: str
    question: str
    ok: bool | None
    answer: NotRequired[Literal["yes", "no", "not-seen", "nothing-to-see"]]
    why: NotRequired[Annotated[str | None, Field(description="why there is neither a yes nor a no")]]
    follows_from: NotRequired[Annotated[str | None, Field(description="the check whose finding explains this no")]]


class LastVerifiedDocument(TypedDict):
    """When verify last looked at the standby."""

    at: Moment
    site: str
    checks: int
    failed: Annotated[list[str], Field(description="checks that found a difference, until they find none")]


class DelayedDocument(TypedDict):
    """The second standby that replays late (`[database.delayed]`)."""

    site: str
    cluster: str
    delay_seconds: float
    state: Literal["streaming", "waiting", "receiver-down", "paused", "promoted", "stopped", "unknown"]
    shows: Annotated[str | None, Field(description="the moment of the last transaction that it has replayed")]
    shows_seconds_ago: float | None
    waiting_bytes: Annotated[int | None, Field(description="WAL received and held back")]
    reason: Annotated[str | None, Field(description="why it does not answer")]


class StatusDocument(TypedDict):
    """`secondsite status --json`."""

    service: str
    taken_at: Moment
    generation: int | None
    sites: dict[str, SiteDocument]
    replicas: list[ReplicaDocument]
    rpo: RpoDocument
    rto: RtoDocument
    ready: bool
    findings: list[FindingDocument]
    checks: NotRequired[list[AskedDocument]]
    last_procedure: NotRequired[LastProcedureDocument | None]
    verified: NotRequired[
        Annotated[LastVerifiedDocument | None, Field(description="null where verify never looked at this standby")]
    ]
    delayed: NotRequired[Annotated[DelayedDocument | None, Field(description="null where the file keeps none")]]


class StepDocument(TypedDict):
    """One step of a procedure."""

    name: str
    site: str
    started_at: Moment | None
    ended_at: Moment | None
    outcome: Literal["done", "already", "skipped", "failed", "undone"]
    title: NotRequired[str]
    seconds: NotRequired[float]
    message: NotRequired[Said]
    hint: NotRequired[Said]
    details: NotRequired[dict[str, Any]]


class ObjectiveDocument(TypedDict):
    """An objective beside what was measured or estimated; met is null where neither is known."""

    objective_seconds: NotRequired[float]
    measured_seconds: NotRequired[float | None]
    estimated_seconds: NotRequired[float | None]
    met: NotRequired[bool | None]
    heard_at: NotRequired[Annotated[Moment | None, Field(description="failover: the primary's last sign of life")]]
    outage_since: NotRequired[Annotated[Moment, Field(description="failover: that sign of life")]]
    outage_seconds: NotRequired[Annotated[float | None, Field(description="failover: from then to users being served")]]
    outage_met: NotRequired[Annotated[bool | None, Field(description="whether that is within the objective")]]


class GivenUpFilesDocument(TypedDict):
    """Files of a set that never reached the other site. kept_in: the folders they were moved to."""

    site: str
    set: str
    count: int
    bytes: int
    kept_in: list[str]


class GivenUpDocument(TypedDict):
    """What was found at an old primary and nowhere else; `report --lost-rows` and `--lost-files` have all of it."""

    transactions: Annotated[int | None, Field(description="null where the old database was not read")]
    rows: int | None
    files: list[GivenUpFilesDocument]


class ProcedureDocument(TypedDict):
    """`--json` of failover, switchover, failback and drill."""

    procedure: str
    id: str
    outcome: Literal["completed", "rolled_back", "failed", "blocked"]
    steps: list[StepDocument]
    rto: ObjectiveDocument
    rpo: ObjectiveDocument
    outage_seconds: NotRequired[Annotated[float | None, Field(description="switchover: how long nobody was served")]]
    faults: NotRequired[Annotated[list[dict[str, Any]], Field(description="switchover: all that stood against it")]]
    journal: Annotated[str, Field(description="path of the journal on the host that ran the procedure")]
    lost: NotRequired[Annotated[GivenUpDocument | None, Field(description="failback: what only the old primary had")]]


class ChangeDocument(TypedDict):
    """A difference between what is and what the file says."""

    resource: str
    site: str
    summary: str
    diff: Annotated[str, Field(description="unified diff, may be empty")]
    disrupts: Annotated[str | None, Field(description="what a user of the service would notice")]


class CheckDocument(TypedDict):
    """Something that was tried after the changes."""

    check: str
    site: str
    ok: bool
    message: str
    hint: Said


class DoneDocument(TypedDict):
    """A change that was made and observed."""

    resource: str
    site: str
    summary: str
    seconds: float


class PlanSiteDocument(TypedDict):
    """What a site is, or becomes."""

    role: Literal["primary", "standby"]


class RestartDocument(TypedDict):
    """Something that a change restarts: PostgreSQL, a unit or the tunnel."""

    site: str
    what: str


class TotalDocument(TypedDict):
    """What a plan comes to."""

    changes: int
    sites: Annotated[dict[str, int], Field(description="how many of them at each site")]
    restarts: list[RestartDocument]


class PlanDocument(TypedDict):
    """`--json` of plan and apply."""

    outcome: Literal["planned", "applied", "unchanged"]
    primary: str
    standby: str
    sites: dict[str, PlanSiteDocument]
    changes: list[ChangeDocument]
    done: list[DoneDocument]
    disrupts: Annotated[list[ChangeDocument], Field(description="those of the changes that users would notice")]
    total: NotRequired[TotalDocument]
    checks: NotRequired[list[CheckDocument]]


class ResidencyDocument(TypedDict):
    """`secondsite residency --json`."""

    service: str
    declared_distance_km: float
    rtt_ms: Annotated[float | None, Field(description="smallest round trip through the tunnel")]
    distance_at_most_km: Annotated[float | None, Field(description="the only unconditional bound")]
    distance_at_most_fibre_km: Annotated[float | None, Field(description="if the whole way is fibre")]
    findings: list[FindingDocument]


class GuardDocument(TypedDict):
    """`secondsite guard --json`."""

    site: str
    ruling: Annotated[Literal["allow", "hold", "wait"], Field(description="whether this host may accept writes")]
    reason: str
    quarantines: Annotated[str | None, Field(description="the site that this one has cut off since its failover")]


class ReadinessDocument(TypedDict):
    """`secondsite readiness --json`."""

    service: str
    taken_at: Moment
    ready: bool
    findings: list[FindingDocument]
    checks: list[AskedDocument]


class RecordDocument(TypedDict):
    """One record of a journal; its hash covers the one before it."""

    seq: int
    at: Moment
    kind: str
    body: dict[str, Any]
    prev: str
    hash: str


class JournalDocument(TypedDict):
    """`secondsite journal WHICH --json`."""

    id: str
    site: Annotated[str | None, Field(description="where it was fetched; null on the host itself")]
    path: str
    procedure: str | None
    outcome: Annotated[str | None, Field(description="null where it is unfinished")]
    began_at: Moment | None
    ended_at: Moment | None
    records_count: int
    intact: bool
    head: Annotated[str | None, Field(description="hash of the last record")]
    records: NotRequired[list[RecordDocument]]


class JournalsDocument(TypedDict):
    """`secondsite journal --json` without a name."""

    folder: str
    journals: Annotated[list[JournalDocument], Field(description="newest first, without their records")]
    silent: Annotated[dict[str, str], Field(description="sites that could not be asked, and why")]


class VerifyCheckDocument(TypedDict):
    """One check of a verification."""

    check: Annotated[str, Field(description="stays the same from run to run")]
    kind: Literal["table", "newest", "sql", "amcheck", "heartbeat", "files"]
    site: str
    outcome: Annotated[
        Literal["equal", "different", "busy", "unknown"],
        Field(description="busy: changed too fast to be compared; unknown: could not be looked at"),
    ]
    message: str
    hint: Said
    wanted: Annotated[bool, Field(description="false: that it is unknown does not count against the whole")]
    evidence: Annotated[dict[str, Any], Field(description="LSNs, key ranges, counts, paths, as the kind has them")]


class VerifyDocument(TypedDict):
    """`secondsite verify --json`."""

    service: str
    primary: str
    standby: str
    taken_at: Moment
    seconds: float
    full: bool
    seed: Annotated[int | None, Field(description="of the sample; give it to --seed to look at the same again")]
    outcome: Literal["equal", "different", "busy", "unknown"]
    checks: list[VerifyCheckDocument]


class ExplanationDocument(TypedDict):
    """What a name means."""

    name: str
    kind: str
    meaning: str
    do: str


class ExplainDocument(TypedDict):
    """`secondsite explain --json`."""

    explanations: list[ExplanationDocument]


DOCUMENTS: dict[str, Any] = {
    "error": ErrorDocument,
    "explain": ExplainDocument,
    **schemas_files.DOCUMENTS,
    "guard": GuardDocument,
    "init": InitDocument,
    "journal": JournalDocument,
    "journals": JournalsDocument,
    "plan": PlanDocument,
    "procedure": ProcedureDocument,
    "readiness": ReadinessDocument,
    "report": "secondsite.evidence.report:Report",
    "residency": ResidencyDocument,
    "status": StatusDocument,
    "validate": ValidateDocument,
    "verify": VerifyDocument,
}


def names() -> list[str]:
    """Every name that ``schema_of`` knows."""
    return sorted(["file", *DOCUMENTS])


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of the file or of a document. Raises UsageError for a name that is none."""
    if name == "file":
        from secondsite.spec import Spec

        schema = Spec.model_json_schema(mode="validation")
    elif name in DOCUMENTS:
        schema = _adapter(name).json_schema()
    else:
        raise UsageError(f'there is no schema "{name}"', hint=f"secondsite schema {'|'.join(names())}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"secondsite {name}"}


def conforms(name: str, document: object) -> None:
    """Raises pydantic's ValidationError where a document breaks its published schema; for tests."""
    _adapter(name).validate_python(document)


def _adapter(name: str) -> TypeAdapter[Any]:
    """The type of a document; those described beside the code that makes them are named "module:type"."""
    kind = DOCUMENTS[name]
    if isinstance(kind, str):
        module, _, attribute = kind.partition(":")
        kind = getattr(import_module(module), attribute)
    return TypeAdapter(kind)
