"""Judge both sites with everything there is to judge by: the named checks, and where data may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from secondsite import residency
from secondsite.agent.seen import history_from, views_from
from secondsite.objectives.document import document
from secondsite.objectives.finding import Finding, Severity
from secondsite.objectives.rto import PastRun, together
from secondsite.objectives.snapshot import Silence, SiteState, SiteView
from secondsite.objectives.status import Status, assess
from secondsite.spec import Spec


def judge(spec: Spec, views: Mapping[str, SiteView], history: Sequence[PastRun], taken_at: datetime) -> Status:
    """``assess``, and what residency says that is more than information.

    Never more than a warning here: where a host stands is no reason why a failover would not work.
    """
    rtts = [v.tunnel.rtt_ms for v in views.values() if isinstance(v, SiteState) and v.tunnel.rtt_ms is not None]
    found = residency.assess(spec, min(rtts, default=None))
    more = [
        Finding(one.check, Severity.WARNING, one.site, one.message, one.hint) for one in found if one.severity != "info"
    ]
    return assess(spec, views, history, taken_at, more)


def status_from(
    spec: Spec, seen: Sequence[Mapping[str, Any]], silent: Mapping[str, str], taken_at: datetime
) -> dict[str, Any]:
    """The status document from what each site told of both (``views_document``), and why the others told nothing.

    A site's own word goes before what its peer heard; what only the peer heard is better than nothing.
    """
    views: dict[str, SiteView] = {}
    history: tuple[PastRun, ...] = ()
    for told in seen:
        for site, view in views_from(told).items():
            if site == told["site"] or site not in views:
                views[site] = view
        history = together(history, history_from(told))
    for site, reason in silent.items():
        heard = views.get(site)
        if not isinstance(heard, SiteState):
            views[site] = Silence(site, reason, heard.since if heard else None, heard.last if heard else None)
    return document(judge(spec, views, history, taken_at))
