"""The documents of procedures and of their journals."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from secondsite.cli.documents.words import Moment, Said


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
    perhaps: NotRequired[Annotated[int, Field(description="more of which nobody can tell; not in `count`")]]
    kept_in: list[str]


class GivenUpDocument(TypedDict):
    """What was found at an old primary and nowhere else; `report --lost-rows` and `--lost-files` have all of it."""

    transactions: Annotated[
        int | None, Field(description="null where the old database was not read; our own heartbeats are among them")
    ]
    rows: int | None
    prepared: NotRequired[Annotated[list[str] | None, Field(description="prepared and never decided, by gid")]]
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
