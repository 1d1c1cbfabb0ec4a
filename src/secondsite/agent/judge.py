"""Judge both sites with everything there is to judge by: the named checks, and where data may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from secondsite import residency
from secondsite.agent.seen import ages, history_from, views_from
from secondsite.objectives.document import document
from secondsite.objectives.finding import Finding, Severity
from secondsite.objectives.rto import PastRun, together
from secondsite.objectives.snapshot import Silence, SiteState, SiteView
from secondsite.objectives.status import Status, assess
from secondsite.spec import Spec

NOT_SET_UP = "its host answers, but secondsite is not installed there"


def judge(
    spec: Spec,
    views: Mapping[str, SiteView],
    history: Sequence[PastRun],
    taken_at: datetime,
    *,
    known: Mapping[str, float] | None = None,
    more: Sequence[Finding] = (),
) -> Status:
    """``assess``, and what residency says that is more than information.

    known: how many seconds ago each site has looked.
    Never more than a warning here: where a host stands is no reason why a failover would not work.
    """
    rtts = [v.tunnel.rtt_ms for v in views.values() if isinstance(v, SiteState) and v.tunnel.rtt_ms is not None]
    residing = [
        Finding(one.check, Severity.WARNING, one.site, one.message, one.hint)
        for one in residency.assess(spec, min(rtts, default=None))
        if one.severity != "info"
    ]
    return assess(spec, views, history, taken_at, [*residing, *more], known)


def status_from(
    spec: Spec, seen: Sequence[Mapping[str, Any]], silent: Mapping[str, str], taken_at: datetime
) -> dict[str, Any]:
    """The status document from what each site told of both (``views_document``), and why the others told nothing.

    A site's own word goes before what its peer heard; what only the peer heard is better than nothing, and told so.
    """
    views: dict[str, SiteView] = {}
    known: dict[str, float] = {}
    history: tuple[PastRun, ...] = ()
    for told in seen:
        mine = views_from(told)
        old = ages(told["site"], told["now"], mine)
        for site, view in mine.items():
            if site == told["site"] or site not in views:
                views[site] = view
                known[site] = old.get(site, 0.0) + told.get("waited", 0.0)
        history = together(history, history_from(told))
    second_hand = []
    for site, reason in silent.items():
        heard = views.get(site)
        if isinstance(heard, SiteState):
            second_hand.append(_second_hand(spec, site, reason))
        else:
            since, last = (heard.since, heard.last) if heard else (None, None)
            views[site] = Silence(site, reason, since, last, set_up=reason != NOT_SET_UP)
    return document(judge(spec, views, history, taken_at, known=known, more=second_hand))


def _second_hand(spec: Spec, site: str, reason: str) -> Finding:
    message = f"answers {spec.peer_of(site)}, but not here: {reason}"
    hint = f"what is shown of {site} is what {spec.peer_of(site)} hears; is it only the way from here?"
    return Finding("reachable", Severity.WARNING, site, message, hint)
