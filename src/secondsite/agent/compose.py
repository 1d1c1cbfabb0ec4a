"""The real world for the agent: each port joined to the part of secondsite that knows it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from secondsite.agent.commits import to_journal, unless_busy
from secondsite.agent.database import LocalDatabase
from secondsite.agent.health import answers
from secondsite.agent.history import past_runs
from secondsite.agent.peer import PeerWatch
from secondsite.agent.ports import Places, Ports
from secondsite.agent.program import Agent
from secondsite.agent.samples import remembered
from secondsite.agent.units import Units
from secondsite.clock import Clock
from secondsite.database.cluster import Cluster
from secondsite.database.commit_wait import Act
from secondsite.database.condition import condition
from secondsite.database.delayed import here as delayed
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.pooler.state import PoolerState
from secondsite.database.verify import acts
from secondsite.dns.state import RecordState
from secondsite.errors import FinalError
from secondsite.files.keeper import Keeper
from secondsite.files.versions.acts import file_facts
from secondsite.files.zfs import pools
from secondsite.recovery import admit, fence_commands, pooling
from secondsite.recovery.fence import fence_here, unfence_here
from secondsite.recovery.handover.serve import LOOKS, Handover
from secondsite.spec import Spec, paths
from secondsite.spec.load import Loaded
from secondsite.tunnel import observe as tunnel
from secondsite.tunnel.state import TunnelState
from secondsite.wiring import Procedures

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


async def serve(loaded: Loaded, site: str, clock: Clock) -> None:
    """Be the agent of ``site`` until SIGTERM or SIGINT."""
    spec = loaded.spec
    peer = PeerWatch(spec, site, clock)
    agent = Agent(spec, site, loaded.sha256, ports(spec, site, clock, peer), clock, peer)
    loop = asyncio.get_running_loop()
    if sys.version_info < (3, 12):  # from 3.12 on asyncio waits for children without a thread for each by itself
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)
        asyncio.get_event_loop_policy().set_child_watcher(watcher)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    await agent.run()


def ports(spec: Spec, site: str, clock: Clock, peer: PeerWatch) -> Ports:
    """Each port's real counterpart on this host."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    changing = asyncio.Lock()  # opening and closing this site never overlap

    async def fence_self(why: str) -> None:
        async with changing:
            await fence_here(spec, site, why, clock)

    async def ask_guard_again() -> None:
        async with changing:
            await admit.ask_again(spec, site, clock)

    async def unfence(request: Mapping[str, Any]) -> Mapping[str, Any]:
        async with changing:
            return await unfence_here(spec, site, clock, str(request.get("procedure", "")))

    database = LocalDatabase(cluster, site)

    async def change_waiting(act: Act) -> bool:
        peer = spec.peer_of(site)
        lock = None if act is Act.STOP else paths.LOCK
        return await unless_busy(changing, lock, lambda: database.change_waiting(act, peer), clock)

    stepping_down = Handover(spec, site, clock)

    async def handover(act: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if act in LOOKS:
            return await stepping_down(act, request)
        async with changing:
            return await stepping_down(act, request)

    async def keep_pooler(writable: bool, beside: bool) -> PoolerState | None:
        if not changing.locked():  # who opens or closes this site has the say
            async with changing:
                await pooling.keep(spec, site, writable=writable, peer_writable=beside)
        return await pooling.look(spec)

    async def keep_delayed(answers: bool) -> DelayedState | None:
        if answers and not changing.locked():
            await asyncio.to_thread(delayed.keep, spec, site)
        return await asyncio.to_thread(delayed.look, spec, site)

    async def look(act: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """For the other site's verification. Only a primary answers: a standby has no reason to be looked into."""
        if (await asyncio.to_thread(acts.perform, spec, cluster, "position", {}))["standby"]:
            raise FinalError("the database here is a standby now", slug="verify-roles", host=site, step="verify")
        if act == "files":
            return await file_facts(spec, request)
        return await asyncio.to_thread(acts.perform, spec, cluster, act, request)

    path = _Path(spec, site)
    return Ports(
        database=database,
        tunnel=path.look,
        dns=_dns(spec),
        condition=lambda: condition(cluster, clock.now().timestamp()),
        pooler=keep_pooler,
        delayed=keep_delayed,
        units=Units(spec.service.units).look,
        healthy=_healthy(spec),
        fence_commands=lambda: fence_commands.look(spec, site),
        pools=lambda: pools.look(spec.files),
        files=Keeper(spec, site, clock=clock),
        history=lambda: past_runs(paths.JOURNAL),
        ask_guard_again=ask_guard_again,
        fence=_fence(spec, site, clock, changing),
        unfence=unfence,
        handover=handover,
        verify=look,
        fence_self=fence_self,
        procedures=Procedures(
            spec,
            site,
            clock,
            peer_silent_since=lambda: peer.silent_since,
            kept=database,
            round_trip=lambda: path.round_trip,
            samples=lambda since, span: remembered(paths.SAMPLES, since, span),
        ),
        change_waiting=change_waiting,
        announce=to_journal,
        places=Places(disk=cluster.data if cluster.data.exists() else Path("/var/lib")),
    )


def _fence(spec: Spec, site: str, clock: Clock, changing: asyncio.Lock) -> Handler:
    async def fence(request: Mapping[str, Any]) -> Mapping[str, Any]:
        why = str(request.get("why", "the other site asked for it"))
        generation = request.get("generation")
        later = generation if isinstance(generation, int) else 0
        async with changing:
            return await fence_here(spec, site, why, clock, generation=later)

    return fence


class _Path:
    """The tunnel, and how long its round trip took when it was last measured: seconds, None before."""

    def __init__(self, spec: Spec, site: str) -> None:
        self._spec, self._site = spec, site
        self.round_trip: float | None = None

    async def look(self, probe: bool) -> TunnelState:
        state = await tunnel.observe(self._spec, self._site, probe=probe)
        if state.rtt_ms is not None:
            self.round_trip = state.rtt_ms / 1000
        return state


def _dns(spec: Spec) -> Callable[[], Awaitable[tuple[RecordState, ...]]]:
    async def look() -> tuple[RecordState, ...]:
        if not spec.dns:
            return ()
        from secondsite.dns.verify import observe  # dnspython is only loaded where there is a record

        addresses = {name: site.public for name, site in spec.sites.items()}
        return tuple(await asyncio.gather(*(observe(record, addresses) for record in spec.dns)))

    return look


def _healthy(spec: Spec) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return await answers(spec.service.health) if spec.service.health else None

    return look
