"""Say whether this site still stands down for a procedure: the last question before the other site takes over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.database import fence
from secondsite.database.cluster import Cluster
from secondsite.recovery.admit import fenced
from secondsite.spec import Spec, paths


async def standing(spec: Spec, site: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """{procedure, stands_down, why}; changes nothing. It stands down while its fence is that procedure's, nobody has
    allowed it to open since, and no postmaster runs: a person may have decided while the other site stood still."""
    procedure = str(request.get("procedure"))
    held, why = fenced(), None
    if held is None or procedure not in held.reason:
        why = f"its fence is not that of {procedure}"
    elif paths.ACTIVE.exists() or paths.ADMITTED.exists():
        why = "it was opened again"
    elif fence.postmaster_runs(Cluster.parse(spec.database.cluster, spec.database.port)):
        why = "its database was started again"
    return {"site": site, "procedure": procedure, "stands_down": why is None, "why": why}
