"""What a plan comes to: how many changes at which host, what restarts, and what users will notice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from secondsite.events import ChangePlanned

_PLAIN_NAMES = ("unit ", "application ")  # what stands before a unit's own name in the name of its resource


def total(changes: Sequence[ChangePlanned], sites: Sequence[str]) -> dict[str, Any]:
    """The document's ``total``: {changes, sites{NAME: count}, restarts[{site, what}]}."""
    return {
        "changes": len(changes),
        "sites": {site: sum(1 for change in changes if change.site == site) for site in sites},
        "restarts": [{"site": change.site, "what": what} for change in changes if (what := restarted(change))],
    }


def restarted(change: ChangePlanned) -> str | None:
    """What a change restarts; None where nothing. Settings that only a restart brings say so by what they disrupt."""
    told = f"{change.summary} {change.disrupts or ''}"
    if "restart" not in told:
        return None
    if change.resource.startswith("settings "):
        return "PostgreSQL"
    prefix = next((prefix for prefix in _PLAIN_NAMES if change.resource.startswith(prefix)), "")
    return change.resource.removeprefix(prefix)


def closing(changes: Sequence[ChangePlanned], roles: Mapping[str, str], way_on: str) -> list[str]:
    """The lines that end a plan with changes. roles: of each site; way_on: the command that makes them."""
    sums = total(changes, tuple(roles))
    counted = ", ".join(f"{count} at {site} ({roles[site]})" for site, count in sums["sites"].items())
    noun = "change" if len(changes) == 1 else "changes"
    noticed = [f"{change.site}: {change.disrupts}" for change in changes if change.disrupts]
    return [
        f"plan: {len(changes)} {noun}: {counted}",
        f"restarts: {_by_site(sums['restarts']) or 'nothing'}",
        f"users of the service will notice: {'; '.join(dict.fromkeys(noticed)) or 'nothing'}",
        f"next: {way_on}",
    ]


def _by_site(restarts: Iterable[Mapping[str, str]]) -> str:
    told: dict[str, list[str]] = {}
    for one in restarts:
        told.setdefault(one["site"], []).append(one["what"])
    return "; ".join(f"{', '.join(dict.fromkeys(what))} at {site}" for site, what in told.items())
