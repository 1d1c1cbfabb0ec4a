"""Judge both sites with everything there is to judge by: the named checks, and where data may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from secondsite import residency
from secondsite.objectives.finding import Finding, Severity
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import SiteState, SiteView
from secondsite.objectives.status import Status, assess
from secondsite.spec import Spec


def judge(spec: Spec, views: Mapping[str, SiteView], history: Sequence[PastRun], taken_at: datetime) -> Status:
    """``assess``, and what residency says that is more than information."""
    rtts = [v.tunnel.rtt_ms for v in views.values() if isinstance(v, SiteState) and v.tunnel.rtt_ms is not None]
    found = residency.assess(spec, min(rtts, default=None))
    more = [
        Finding(one.check, Severity(one.severity), one.site, one.message, one.hint)
        for one in found
        if one.severity != "info"
    ]
    return assess(spec, views, history, taken_at, more)
