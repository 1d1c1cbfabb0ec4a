"""An error on its way between a host and the operator. Without SSH's library, which a host need not load for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.errors import (
    Exit,
    FinalError,
    HalfwayError,
    RetryableError,
    SecondsiteError,
    UnknownOutcomeError,
    UsageError,
)

_KINDS: Mapping[str, type[SecondsiteError]] = {
    kind.__name__: kind
    for kind in (SecondsiteError, UsageError, RetryableError, FinalError, UnknownOutcomeError, HalfwayError)
}


def error_from(document: Mapping[str, Any], site: str) -> SecondsiteError:
    """The error that a host sent, as it was raised there."""
    kind = _KINDS.get(str(document.get("kind")), SecondsiteError)
    return kind(
        str(document.get("message", "failed without a reason")),
        slug=document.get("error"),
        host=document.get("host") or site,
        step=document.get("step"),
        hint=document.get("hint"),
        exit_code=Exit(int(document.get("exit_code") or Exit.UNCHANGED)),
    )


def error_document(error: SecondsiteError) -> dict[str, Any]:
    """The inverse: what a host sends."""
    kind = next((name for name, known in _KINDS.items() if type(error) is known), "SecondsiteError")
    return error.as_json() | {"kind": kind}
