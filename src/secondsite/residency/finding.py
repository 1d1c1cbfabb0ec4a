"""What an assessment of places says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True, slots=True)
class ResidencyFinding:
    """site: None where it concerns both. hint: what to do, empty for plain information."""

    check: str
    severity: Severity
    site: str | None
    message: str
    hint: str = ""
