"""``secondsite residency``: where data is said to be, what the file allows, and what the network proves about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Config, Json, find_config
from secondsite.cli.render import emit_json
from secondsite.errors import Exit, SecondsiteError
from secondsite.residency import ResidencyFinding, assess, bound
from secondsite.spec import Spec
from secondsite.spec.geography import great_circle_km
from secondsite.spec.load import load


def run(
    *,
    declared_only: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Show where the sites are said to stand, whether that is allowed, and what distance is proven.

    Countries, operators and places are declared, not verified. A round trip through the tunnel bounds how far away
    the holder of the other site's key can be, and proves neither a country nor the absence of copies elsewhere.

    Example: ``secondsite residency --declared-only``

    Exit code 0: nothing speaks against it. 1: something is critical.

    See also: readiness, explain.

    Parameters
    ----------
    declared_only
        Do not ask the hosts for the round-trip time.
    """
    path = find_config(config)
    spec = load(path).spec
    rtt_ms = None if declared_only else measured(path)
    findings = assess(spec, rtt_ms)
    if json:
        emit_json(document(spec, rtt_ms, findings))
    else:
        print("\n".join(lines(findings)))
    return int(Exit.OBJECTIVE_MISSED if any(f.severity == "critical" for f in findings) else Exit.OK)


def measured(config: Path) -> float | None:
    """The smallest round trip that either host has measured; None where no host can be asked."""
    from secondsite.cli.sight import begin

    try:
        sites = begin(config)()["sites"].values()
    except SecondsiteError as unseen:
        print(f"warning: no round-trip time: {unseen}", file=sys.stderr)
        return None
    return min((site["rtt_ms"] for site in sites if site.get("rtt_ms")), default=None)


def document(spec: Spec, rtt_ms: float | None, findings: Sequence[ResidencyFinding]) -> dict[str, Any]:
    """The JSON document; its schema is ``secondsite schema residency``."""
    first, second = spec.sites.values()
    limit = bound(rtt_ms) if rtt_ms is not None else None
    return {
        "service": spec.service.name,
        "declared_distance_km": round(great_circle_km(first.location, second.location), 1),
        "rtt_ms": rtt_ms,
        "distance_at_most_km": round(limit.km, 1) if limit else None,
        "distance_at_most_fibre_km": round(limit.fibre_km, 1) if limit else None,
        "findings": [asdict(finding) for finding in findings],
    }


def lines(findings: Sequence[ResidencyFinding]) -> list[str]:
    """Each finding and its hint, the worst first."""
    told = []
    for finding in findings:
        mark = "" if finding.severity == "info" else f"{finding.severity}: "
        site = f"{finding.site}: " if finding.site else ""
        told.append(f"{mark}{site}{finding.message}")
        told += [f"    hint: {finding.hint}"] if finding.hint else []
    return told
