"""What the documents of several commands have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

Moment = Annotated[str, Field(description="RFC 3339 in UTC")]
Said = Annotated[str | None, Field(description="null where there is nothing to say")]


class FaultDocument(TypedDict):
    """What is wrong at a place in the file."""

    path: Annotated[str, Field(description="place in the file, like sites.oslo.country or files[0].path")]
    line: int | None
    message: str
    hint: Said


class FindingDocument(TypedDict):
    """What a named check found."""

    check: str
    severity: Literal["critical", "warning", "info"]
    site: Said
    message: str
    hint: Said
