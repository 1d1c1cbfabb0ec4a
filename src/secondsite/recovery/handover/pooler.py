"""Send the clients of PgBouncer here to the site that has taken over: those who were made to wait, and all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe
from secondsite.errors import FinalError
from secondsite.recovery import pooling
from secondsite.spec import Spec


async def pooler(spec: Spec, site: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Repeatable. Raises FinalError ``handover-refused`` where this site accepts writes itself, and what
    ``pooling.go_on`` raises."""
    primary = str(request.get("primary"))
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    if primary != spec.peer_of(site) or (await apart(observe, cluster)).writable:
        raise FinalError(
            f"PgBouncer at {site} does not send its clients to {primary}: {site} accepts writes itself",
            slug="handover-refused",
            host=site,
            hint="secondsite status",
        )
    return await pooling.go_on(spec, site, primary)
