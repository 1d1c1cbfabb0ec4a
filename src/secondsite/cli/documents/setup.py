"""The documents of the commands that look at the file and set the sites up."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from secondsite.cli.documents.words import FaultDocument, Said


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


class ExplanationDocument(TypedDict):
    """What a name means."""

    name: str
    kind: str
    meaning: str
    do: str


class ExplainDocument(TypedDict):
    """`secondsite explain --json`."""

    explanations: list[ExplanationDocument]
