"""Take it all back: the service goes on here, because the other site has not taken over and says that it will not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.database import door, fence
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.control import SystemdControl
from secondsite.database.observe import observe
from secondsite.errors import FinalError, SecondsiteError
from secondsite.recovery import application, pooling
from secondsite.recovery.admit import generation, open_here
from secondsite.recovery.fence import note_verdict
from secondsite.recovery.guard import peer_answer
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec, paths

WHY = "the switchover that stopped this site was rolled back"


async def reopen(spec: Spec, site: str, clock: Clock, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Database, PgBouncer and application run here again and accept writes; repeatable, from any half-way state.

    Raises FinalError ``reopen-refused`` where the other site accepts writes or is a generation ahead.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    await _refuse_beside_another(spec, site, cluster)
    door.unlock(cluster)
    note_verdict("allow", WHY, clock)
    if (await apart(observe, cluster)).writable:  # it was only closed
        fence.unmark(cluster)
        paths.FENCED.unlink(missing_ok=True)
        await apart(door.reload, cluster)
    else:
        await fence.stop(cluster)  # held read-only by the guard, or on its way down
        fence.unmark(cluster)
        paths.RUN.mkdir(exist_ok=True)
        paths.ADMITTED.write_text(f"{WHY}\n")
        paths.FENCED.unlink(missing_ok=True)
        await SystemdControl(cluster).start()
    open_here()
    state = await apart(observe, cluster)
    sent_on: Mapping[str, Any] = {}
    try:
        if state.writable:
            sent_on = await pooling.go_on(spec, site, site)
    finally:  # a pooler that is broken keeps nobody else waiting
        await application.start(spec.service.units)
    if not state.writable:
        raise FinalError(
            f"the database at {site} was started again and is {state.role}: {state.reason or 'no reason is known'}",
            slug="not-reopened",
            host=site,
            hint=f"journalctl -u {cluster.unit} -n 50",
        )
    now = to_text(clock.now())
    return {"site": site, "role": state.role.value, "timeline": state.timeline, "pooler": sent_on, "at": now}


async def _refuse_beside_another(spec: Spec, site: str, cluster: Cluster) -> None:
    """The asking site knows best, and all the same: what it tells the guard is looked at. Its silence is no answer."""
    peer = Peer.of(spec, site)
    try:
        answer = peer_answer(await peer.get("/v1/guard", connect_seconds=1.0, answer_seconds=2.0))
    except SecondsiteError:
        return
    own = await generation(cluster)
    theirs = answer.generation if answer is not None else None
    if answer is not None and (answer.writable or (theirs is not None and theirs > own)):
        raise FinalError(
            f"{peer.site} accepts writes or is ahead (generation {theirs}, here {own}), so {site} stays read-only",
            slug="reopen-refused",
            host=site,
            hint="secondsite status",
        )
