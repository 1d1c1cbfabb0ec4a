"""The documents that tell how the service is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from secondsite.cli.documents.words import FindingDocument, Moment


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


class UnfinishedDocument(TypedDict):
    """A procedure of a site that died or stopped half-way."""

    procedure: str
    id: str
    since: Annotated[Moment, Field(description="when it began")]


class SiteDocument(TypedDict):
    """A site at one moment."""

    role: Literal["primary", "standby", "stopped", "absent", "unknown"]
    reachable: bool
    database: SiteDatabaseDocument
    former_primary: NotRequired[
        Annotated[bool, Field(description="was primary until the other took over, and is no standby yet")]
    ]
    held: NotRequired[Annotated[str | None, Field(description="why its guard keeps it read-only")]]
    unfinished: NotRequired[UnfinishedDocument | None]
    age_seconds: NotRequired[Annotated[float | None, Field(description="how old what is told of it is")]]
    silent: NotRequired[SilentDocument]


class VersionsDocument(TypedDict):
    """The versions that are kept of a file set."""

    count: int
    newest_at: Annotated[str | None, Field(description="the moment whose files the newest holds")]
    overdue: Annotated[bool, Field(description="nobody has looked for too long whether one is needed")]
    problem: Annotated[str | None, Field(description="why the last one could not be made")]


class BandwidthDocument(TypedDict):
    """How fast a file set may come."""

    bytes_per_second: Annotated[int | None, Field(description="null for no limit")]
    set_by: Annotated[str, Field(description="file, or command: secondsite files bandwidth")]


class RuleDocument(TypedDict):
    """How much of a safety rule is used up."""

    within_hour: Annotated[int, Field(description="files and folders, within the last hour")]
    allowed: Annotated[int, Field(description="beyond so many the set is blocked")]


class ComingDocument(TypedDict):
    """How far a pull, or the fetching of large files, has come."""

    done_bytes: int
    total_bytes: int | None
    bytes_per_second: float | None
    seconds_left: float | None


class FilesDocument(TypedDict):
    """What a copy of files says of itself; null means unknown, never zero."""

    entries: Annotated[int | None, Field(description="files and folders that the copy has")]
    queue: Annotated[int | None, Field(description="changed paths that wait at the source, where it tells them")]
    files_per_second: Annotated[float | None, Field(description="brought by the stream in the last ten seconds")]
    bytes_per_second: float | None
    compared_at: Annotated[str | None, Field(description="end of the last comparison in full")]
    unstreamed: Annotated[str | None, Field(description="why the source's changes are not followed")]
    deletions: Annotated[RuleDocument | None, Field(description="max_delete; null where there is no such rule")]
    changes: Annotated[RuleDocument | None, Field(description="max_change; null where there is no such rule")]
    coming: Annotated[ComingDocument | None, Field(description="null where nothing large comes")]


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
    bandwidth: NotRequired[Annotated[BandwidthDocument | None, Field(description="null where no site pulls it")]]
    files: NotRequired[Annotated[FilesDocument | None, Field(description="null where the standby does not tell")]]


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


class ReadinessDocument(TypedDict):
    """`secondsite readiness --json`."""

    service: str
    taken_at: Moment
    ready: bool
    findings: list[FindingDocument]
    checks: list[AskedDocument]


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
