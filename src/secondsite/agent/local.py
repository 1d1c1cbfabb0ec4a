"""This host without its agent: looked at once, directly. Slower, and without a memory, but never nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from secondsite import __version__
from secondsite.agent import guardword, memory
from secondsite.agent.database import LocalDatabase
from secondsite.agent.health import answers
from secondsite.agent.history import last_ended, past_runs, unfinished_here
from secondsite.agent.peer import PeerWatch
from secondsite.agent.program import free_bytes
from secondsite.agent.samples import recent
from secondsite.agent.seen import views_document
from secondsite.agent.units import look_at
from secondsite.clock import Clock
from secondsite.database.cluster import Cluster
from secondsite.database.condition import condition
from secondsite.database.delayed import here as delayed
from secondsite.database.state import DatabaseState
from secondsite.dns.state import RecordState
from secondsite.errors import SecondsiteError
from secondsite.files import store
from secondsite.files.observe import state_of
from secondsite.files.state import FileSetState
from secondsite.files.stream import heard
from secondsite.files.versions.state import versions_of
from secondsite.files.zfs import pools
from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.rto import remembered, together
from secondsite.objectives.snapshot import SiteState, UnitState
from secondsite.recovery import fence_commands, pooling
from secondsite.spec import Spec, paths
from secondsite.spec.load import Loaded
from secondsite.tunnel import observe as tunnel
from secondsite.verification import record

DNS_SECONDS = 2.0
POOLS_SECONDS = 5.0


async def observe_here(loaded: Loaded, site: str, clock: Clock) -> dict[str, Any]:
    """The same document as the agent's ``/v1/views``, and the peer asked once."""
    spec = loaded.spec
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    database, peer = LocalDatabase(cluster, site), PeerWatch(spec, site, clock)
    try:
        looked, wire, units, records, conditions, _ = await asyncio.gather(
            database.look(), tunnel.observe(spec, site, probe=False), _units(spec), _dns(spec, clock),
            condition(cluster, clock.now().timestamp()), peer.poll(),
        )  # fmt: skip
    finally:
        await database.close()
        peer.close()
    now = clock.now().timestamp()
    state = SiteState(
        site=site,
        taken_at=now,
        version=__version__,
        agent_running=False,
        config_hash=loaded.sha256,
        database=looked,
        tunnel=wire,
        files=_files(spec, looked, now),
        units=units,
        dns=records,
        active=paths.ACTIVE.exists(),
        guard_reason=None if looked.writable else guardword.holding(paths.GUARD_VERDICT),
        quarantining_peer=paths.QUARANTINE.exists(),
        last_primary=memory.read(paths.LAST_PRIMARY),
        samples=recent(paths.SAMPLES, now),
        disk_free_bytes=free_bytes(cluster.data),
        healthy=await answers(spec.service.health) if looked.writable and spec.service.health else None,
        peer_clock_offset=peer.clock_offset,
        history=remembered(past_runs(paths.JOURNAL)),
        condition=conditions,
        pooler=await pooling.look(spec),
        delayed=await asyncio.to_thread(delayed.look, spec, site),
        unfinished=unfinished_here(paths.JOURNAL, paths.LOCK),
        last_procedure=last_ended(paths.JOURNAL),
        verified=record.verified(record.load()),
        fence_commands=fence_commands.look(spec, site),
        pools=await _pools(spec),
    )
    view = peer.view()
    recoveries = together(state.history, view.history if isinstance(view, SiteState) else ())
    return views_document(site, now, {site: state, peer.site: view}, recoveries)


async def _pools(spec: Spec) -> tuple[PoolState, ...] | None:
    try:
        async with asyncio.timeout(POOLS_SECONDS):  # a pool that has lost its disks may answer nobody
            return await pools.look(spec.files)
    except (SecondsiteError, TimeoutError):
        return None


async def _units(spec: Spec) -> tuple[UnitState, ...]:
    try:
        return await look_at(spec.service.units)
    except SecondsiteError:
        return ()


async def _dns(spec: Spec, clock: Clock) -> tuple[RecordState, ...]:
    from secondsite.dns.verify import observe

    addresses = {name: site.public for name, site in spec.sites.items()}
    try:
        async with asyncio.timeout(DNS_SECONDS):
            looked_at = clock.now().timestamp()
            records = await asyncio.gather(*(observe(record, addresses) for record in spec.dns))
            return tuple(replace(record, looked_at=looked_at) for record in records)
    except TimeoutError:
        return ()


def _files(spec: Spec, database: DatabaseState, now: float) -> tuple[FileSetState, ...]:
    standby = not database.writable
    looked = [(one, store.load(one.name)) for one in spec.files]
    return tuple(
        state_of(
            one,
            record,
            now=now,
            standby=standby,
            heard=heard.load(one.name, record),
            versions=versions_of(one, store.STORE, now),
        )
        for one, record in looked
    )
