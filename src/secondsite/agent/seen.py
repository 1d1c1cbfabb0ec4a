"""What one site knows of both, as the document that travels from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import Silence, SiteState, SiteView, from_json, to_json


def views_document(site: str, now: float, views: Mapping[str, SiteView], history: Sequence[PastRun]) -> dict[str, Any]:
    """{site, now, views: {SITE: {age, state} | {silence, last}}, history}: what one site knows of both."""
    return {
        "site": site,
        "now": now,
        "views": {name: _view(view, now) for name, view in views.items()},
        "history": [asdict(run) for run in history],
    }


def views_from(document: Mapping[str, Any]) -> dict[str, SiteView]:
    """The inverse of either form. Raises ValueError (pydantic.ValidationError) on another version's document."""
    own = {document["site"]: from_json(document)} if "database" in document else {}
    return own | {site: _read_view(site, told) for site, told in document["views"].items()}


def ages(site: str, now: float, views: Mapping[str, SiteView]) -> dict[str, float]:
    """How many seconds before ``now`` of ``site``'s clock each site that answers had looked, by what ``site`` knows of
    the clocks."""
    own = views.get(site)
    offset = own.peer_clock_offset if isinstance(own, SiteState) else None
    return {
        name: max(0.0, now - view.taken_at + (0.0 if name == site else offset or 0.0))
        for name, view in views.items()
        if isinstance(view, SiteState)
    }


def history_from(document: Mapping[str, Any]) -> tuple[PastRun, ...]:
    """The recoveries that a site remembers."""
    return tuple(PastRun(**run) for run in document["history"])


def _read_view(site: str, told: Mapping[str, Any]) -> SiteView:
    if "state" in told:
        return from_json(told["state"])
    silence = told["silence"]
    return Silence(site, silence["reason"], silence["since"], from_json(told["last"]) if told["last"] else None)


def _view(view: SiteState | Silence, now: float) -> dict[str, Any]:
    if isinstance(view, SiteState):
        return {"age": now - view.taken_at, "state": to_json(view)}
    return {"silence": {"reason": view.reason, "since": view.since}, "last": to_json(view.last) if view.last else None}
