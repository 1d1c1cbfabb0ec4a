"""Stop the writers here, and see to it that nothing lets them in again before the move has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.converge.write import atomically
from secondsite.database import door
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.controldata import read as read_control
from secondsite.database.lsn import to_text as lsn_text
from secondsite.database.observe import observe
from secondsite.errors import FinalError
from secondsite.recovery import application, pooling
from secondsite.recovery.fence import note_verdict
from secondsite.spec import Spec, paths


async def close(spec: Spec, site: str, clock: Clock, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The application is stopped, PgBouncer's clients wait, the database lets nobody in; {flushed}: where its WAL
    ends, for the standby to reach.

    First of all the fence is on the disk: from here on this host comes up read-only, however it goes down. Raises
    FinalError ``handover-refused`` for a request that is not of the next generation, or of a site that is shut out.
    A database that is down already (this is a second try) is left as it is.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    refuse_wrong_generation(site, request.get("generation"), (await read_control(cluster)).generation)
    why = f"{spec.peer_of(site)} takes over by switchover {request.get('procedure')}"
    atomically(paths.FENCED, f"{why}\n".encode(), mode=0o600)
    note_verdict("hold", why, clock)
    paths.ACTIVE.unlink(missing_ok=True)
    paths.ADMITTED.unlink(missing_ok=True)
    door.lock(cluster)
    began = clock.monotonic()
    await application.stop(spec.service.units)
    if await application.any_active(spec.service.units):
        raise FinalError(
            f"the application at {site} does not stop",
            slug="application-still-runs",
            host=site,
            hint=f"systemctl status {' '.join(spec.service.units)}",
        )
    stopped = clock.monotonic()
    # Behind the application: what it still works on is let through.
    waited = await pooling.hold(spec, silent_too=bool(request.get("midway")))
    ended = await door.shut(cluster) if (await apart(observe, cluster)).writable else None
    now = await apart(observe, cluster)
    return {
        "flushed": None if now.flushed is None else lsn_text(now.flushed),
        "application_seconds": round(stopped - began, 4),
        "database_seconds": round(clock.monotonic() - stopped, 4),
        "pooler_seconds": None if waited is None else round(waited, 4),
        "sessions_ended": ended,
        "at": to_text(clock.now()),
    }


def refuse_wrong_generation(site: str, theirs: object, own: int) -> None:
    """Only the site that follows this one may ask it to step down, and only for the very next generation."""
    if paths.QUARANTINE.exists() or theirs != own + 1:
        raise FinalError(
            f"{site} is in generation {own} and does not step down for generation {theirs}",
            slug="handover-refused",
            host=site,
            hint="secondsite status",
        )
