"""What the operator's side asks of a host: one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """The parts of a host's convergence, in order. ``database`` means the site's role there."""

    PREPARE = "prepare"  # packages, program, the file, keys
    TUNNEL = "tunnel"  # firewall, tunnel, shared secrets
    DATABASE = "database"
    FILES = "files"
    AGENT = "agent"
    GUARD = "guard"
    POOLER = "pooler"
    UNITS = "units"


class Kind(StrEnum):
    """What a request is about."""

    OBSERVE = "observe"
    CONVERGE = "converge"
    VERIFY = "verify"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. config: text of the file. facts: what the peer must be known for (``peer_key``, ``primary``,
    ``files_reached``: how far the primary's file sets had come when it took over).

    allowed: names of resources whose disruption was agreed to; None allows all.
    """

    request: Kind
    site: str = ""
    config: str = ""
    role: str = ""
    phase: Phase | None = None
    peer_key: str | None = None
    primary: Mapping[str, Any] | None = None
    dry_run: bool = False
    replace: bool = False
    allowed: tuple[str, ...] | None = None
    files_reached: Mapping[str, float | None] | None = None

    def as_json(self) -> dict[str, Any]:
        """The document that ``parse`` reads back."""
        return asdict(self)


def parse(line: str) -> Request:
    """Raises ValueError on a line that is no request (another version's, or not ours at all)."""
    try:
        body = json.loads(line)
        phase, allowed = body.get("phase"), body.get("allowed")
        body |= {
            "request": Kind(body["request"]),
            "phase": Phase(phase) if phase else None,
            "allowed": tuple(allowed) if allowed is not None else None,
        }
        return Request(**body)
    except (TypeError, KeyError, AttributeError, json.JSONDecodeError) as strange:
        raise ValueError(f"not a request: {line[:200]}") from strange
