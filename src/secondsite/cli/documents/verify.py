"""The document of `verify`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from secondsite.cli.documents.words import Moment, Said


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
