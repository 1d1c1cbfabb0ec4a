"""Become the standby of the site that has taken over: no rewind is needed, because nothing was lost between them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.converge.write import atomically
from secondsite.database import door, fence
from secondsite.database.bounded import apart, asking
from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.connect import elsewhere
from secondsite.database.control import SystemdControl, answering, last_words
from secondsite.database.controldata import read as read_control
from secondsite.database.follow import SIGNAL, forget_overrides, reset
from secondsite.database.logical import drop_left_over
from secondsite.database.lsn import to_int
from secondsite.database.observe import observe
from secondsite.database.slot import drop_others
from secondsite.database.state import Role, Streaming
from secondsite.database.synchronous import wait_for_nobody
from secondsite.errors import FinalError, RetryableError
from secondsite.files.engine import demote
from secondsite.spec import Spec, paths

START_SECONDS = 60.0
STREAM_SECONDS = 60.0
POLL_SECONDS = 0.05
FLOWS = (Streaming.STREAMING, Streaming.CATCHING_UP)


async def follow(spec: Spec, site: str, clock: Clock, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """This site streams from its peer and pulls its files; repeatable. {streaming, timeline, dropped_slots}.

    Raises FinalError ``handover-refused`` where this site's data does not end where the peer's timeline begins, and
    RetryableError ``standby-not-streaming`` where the stream is not seen.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    await _refuse_unsuited(site, cluster, request)
    for fileset in spec.files:
        await demote(fileset)
    paths.ACTIVE.unlink(missing_ok=True)
    door.unlock(cluster)
    # An empty standby.signal is a standby's own: the guard lets it start and asks nobody.
    atomically(cluster.data / SIGNAL, b"", mode=0o600, owner=OWNER)
    paths.FENCED.unlink(missing_ok=True)
    paths.GUARD_VERDICT.unlink(missing_ok=True)
    await _start(cluster)
    await _streams(site, cluster)
    async with elsewhere(cluster, step="drop old slots") as connection:
        dropped = (
            *await asking(connection, drop_others, connection),
            *await asking(connection, drop_left_over, connection),
        )
    state = await apart(observe, cluster)
    return {
        "streaming": state.streaming.value,
        "timeline": state.timeline,
        "dropped_slots": list(dropped),
        "at": to_text(clock.now()),
    }


async def _refuse_unsuited(site: str, cluster: Cluster, request: Mapping[str, Any]) -> None:
    control, begins = await read_control(cluster), to_int(str(request["switch_point"]))
    stands = (await apart(observe, cluster)).role is not Role.PRIMARY and (cluster.data / SIGNAL).exists()
    own = control.timeline < int(request["timeline"]) and control.checkpoint_lsn >= begins
    if stands and not own and control.system_identifier == request["system_identifier"]:
        return
    raise FinalError(
        f"{site} is no stopped former primary whose data ends where timeline {request['timeline']} begins"
        f' (control file: "{control.state}", timeline {control.timeline})',
        slug="handover-refused",
        host=site,
        hint=f"secondsite apply --replace-standby {site}",
    )


async def _start(cluster: Cluster) -> None:
    """Whom to follow is in our own file; what said otherwise after an earlier failover is forgotten."""
    if fence.postmaster_runs(cluster):  # the guard has let it start read-only after a reboot
        async with elsewhere(cluster, step="follow") as connection:
            await asking(connection, reset, connection)
            await asking(connection, wait_for_nobody, connection)  # or its commits would hang when it leads again
        await apart(door.reload, cluster)
        return
    forget_overrides(cluster.data)
    await SystemdControl(cluster).start()
    await answering(cluster, seconds=START_SECONDS)


async def _streams(site: str, cluster: Cluster) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STREAM_SECONDS
    while (state := await apart(observe, cluster)).streaming not in FLOWS:
        if loop.time() > deadline:
            raise RetryableError(
                f"the database at {site} runs as a standby and does not stream after {STREAM_SECONDS:g} s:"
                f" {last_words(cluster) or state.streaming}",
                slug="standby-not-streaming",
                host=site,
                hint="is the tunnel up? see PostgreSQL's log there",
            )
        await asyncio.sleep(POLL_SECONDS)
