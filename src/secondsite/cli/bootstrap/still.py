"""Is the host still what the plan took it for? A failover may have come since, and what is made for the old role then
is made against it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from secondsite.cli.bootstrap.request import Request
from secondsite.database.cluster import Cluster
from secondsite.database.fence import marked_by_us
from secondsite.database.observe import observe
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import FinalError
from secondsite.recovery import lock
from secondsite.spec import Spec, paths

PATIENCE_SECONDS = 5.0  # the agent holds the lock for a moment when it changes what commits wait for
POLL_SECONDS = 0.25


async def still_as_planned(spec: Spec, request: Request, held: Path = paths.LOCK) -> None:
    """Raises FinalError (``plan-changed``) where a procedure runs on this host, or has changed its role."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        why = objection(request, observe(cluster), lock.holder(held), guarded=marked_by_us(cluster))
        if why is None:
            return
        if loop.time() > deadline:
            raise FinalError(
                f"{why}: the plan was made for another world, and nothing more is changed by it",
                slug="plan-changed",
                host=request.site,
                step=request.phase,
                hint="secondsite status; when no procedure runs: run the same command again, it plans anew",
            )
        await asyncio.sleep(POLL_SECONDS)


def objection(request: Request, now: DatabaseState, holder: str | None, *, guarded: bool) -> str | None:
    """Pure: what stands against another phase here, in words. guarded: our guard keeps the database read-only for now.

    A standby to be whose cluster accepts writes is no news: one that a package has just made, or one that a person gave
    up. It is where that cluster has the primary's identity: then it was promoted.
    """
    if holder is not None:
        return f"{holder} is running on {request.site}"
    if request.role == "primary" and now.role is Role.STANDBY and not guarded:
        return f"{request.site} was the primary when this was planned, and is a standby now"
    same = now.system_identifier is not None and now.system_identifier == (request.primary or {}).get(
        "system_identifier"
    )
    if request.role == "standby" and now.role is Role.PRIMARY and same and not request.replace:
        return f"{request.site} was the standby when this was planned, and accepts writes now"
    return None
