"""One check of a verification: how it ended, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secondsite.database.verify.model import Outcome
from secondsite.errors import SecondsiteError


@dataclass(frozen=True, slots=True)
class Check:
    """name: stays the same from run to run. kind: table, newest, sql, amcheck, heartbeat or files.

    wanted: a person asked for it, or it is always there: that it could not be made is worth exit code 1.
    """

    name: str
    kind: str
    site: str
    outcome: Outcome
    message: str
    hint: str = ""
    wanted: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "check": self.name,
            "kind": self.kind,
            "site": self.site,
            "outcome": str(self.outcome),
            "message": self.message,
            "hint": self.hint or None,
            "wanted": self.wanted,
            "evidence": dict(self.evidence),
        }


def unknown(name: str, kind: str, site: str, error: SecondsiteError, *, wanted: bool = True) -> Check:
    """A check that could not be made, or met something unreadable."""
    if error.slug == "verify-damaged":
        return Check(
            name,
            kind,
            error.host or site,
            Outcome.DIFFERENT,
            f"cannot be read: {error.message}",
            damaged(error.host or site),
        )
    outcome = Outcome.BUSY if error.slug == "verify-busy" else Outcome.UNKNOWN
    return Check(name, kind, site, outcome, error.message, error.hint or "", wanted)


def damaged(site: str) -> str:
    """What to do about a page that cannot be read."""
    return f"look at {site}'s disk and memory first (dmesg, smartctl); then {copy_anew(site)}"


def copy_anew(site: str) -> str:
    """How a standby that streams and is wrong all the same is replaced; apply alone would leave it as it is."""
    return (
        f"if {site} is the standby: stop PostgreSQL there, move its data folder aside; secondsite apply copies it anew"
    )
