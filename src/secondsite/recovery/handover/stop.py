"""Stop the database here in good order, so that the other site can prove that it has everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.clock import Clock
from secondsite.database import fence, shutdown
from secondsite.database.cluster import Cluster
from secondsite.database.lsn import to_text
from secondsite.errors import FinalError
from secondsite.spec import Spec, paths

STOP_SECONDS = 30.0


async def stop(spec: Spec, site: str, clock: Clock, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """{checkpoint, timeline, system_identifier, state} of a control file that says "shut down".

    ``standby.signal`` is there before the end is: whoever starts this cluster from now on gets a read-only one, and a
    running server does not look at it. Raises FinalError ``handover-refused`` where the writers were not stopped for
    this procedure, and what ``shutdown.fast`` raises.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    procedure = str(request.get("procedure"))
    if not paths.FENCED.exists() or procedure not in paths.FENCED.read_text():
        raise FinalError(
            f"the writers at {site} were not stopped by {procedure}, so its database goes on",
            slug="handover-refused",
            host=site,
            hint="secondsite status",
        )
    fence.mark_standby(cluster, f"switchover {procedure}")
    began = clock.monotonic()
    control = await shutdown.fast(cluster, seconds=STOP_SECONDS)
    return {
        "state": control.state,
        "checkpoint": to_text(control.checkpoint_lsn),
        "timeline": control.timeline,
        "system_identifier": control.system_identifier,
        "stop_seconds": round(clock.monotonic() - began, 4),
    }
