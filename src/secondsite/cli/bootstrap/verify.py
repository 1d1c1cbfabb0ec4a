"""Is what was built at work? Seen on the host itself, judged on the operator's side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.cli.bootstrap.commits import as_wanted
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe as observe_database
from secondsite.database.state import Role, Streaming
from secondsite.errors import SecondsiteError
from secondsite.files.engine import is_original
from secondsite.files.store import STORE
from secondsite.spec import Spec
from secondsite.tunnel.observe import observe as observe_tunnel

AGENT_SECONDS = 3.0
PINGS = 4  # whether it answers; how quickly, the agent measures with care
HANDSHAKE_SECONDS = 180.0  # WireGuard renews its keys every 120 s while there is traffic


@dataclass(frozen=True, slots=True)
class Check:
    """One check by name, for every renderer. ok: None where it does not apply."""

    name: str
    site: str
    ok: bool
    message: str
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"check": self.name, "site": self.site, "ok": self.ok, "message": self.message, "hint": self.hint}


async def verify(spec: Spec, site: str, role: str, now: float) -> list[Check]:
    """The checks of this host. now: unix seconds."""
    tunnel, agent, database = await asyncio.gather(
        _tunnel(spec, site, now),
        asyncio.to_thread(_agent, spec, site),
        asyncio.to_thread(_database, spec, site, role),
    )
    checks = [tunnel, database, agent]
    return [*checks, _commits(spec, site)] if role == "primary" else [*checks, *originals(spec, site)]


def originals(spec: Spec, site: str, store: Path = STORE) -> list[Check]:
    """A check that has failed for each file set of the standby that is the original: it is not pulled, and readiness is
    not to be had. An apply does not give it up by itself: only it may have some of its files."""
    hint = (
        f"to take the service home: secondsite failback; to take back the files alone: secondsite apply"
        f" --replace-standby {site}   (keeps what only it has, lists what was lost)"
    )
    return [
        Check(
            f"file set {each.name}", site, False, "it is the original here still, and nothing is pulled over it", hint
        )
        for each in spec.files
        if is_original(each, store)
    ]


def _commits(spec: Spec, site: str) -> Check:
    state = observe_database(Cluster.parse(spec.database.cluster, spec.database.port))
    kept, told = as_wanted(state, spec, site)
    hint = f"does {spec.peer_of(site)} stream? journalctl -u secondsite-agent.service -n 50"
    return Check("commits", site, kept, told, hint)


async def _tunnel(spec: Spec, site: str, now: float) -> Check:
    state = await observe_tunnel(spec, site, samples=PINGS)
    peer = spec.peer_of(site)
    hint = f"wg show {spec.tunnel.interface}; is UDP port {spec.tunnel.port} open between the sites?"
    if not state.up:
        return Check("tunnel", site, False, state.reason or "the tunnel is down", hint)
    if state.last_handshake_at is None or now - state.last_handshake_at > HANDSHAKE_SECONDS:
        return Check("tunnel", site, False, f"no handshake with {peer}", hint)
    if state.rtt_ms is None:
        return Check("tunnel", site, False, f"{peer} does not answer inside the tunnel", hint)
    return Check("tunnel", site, True, f"{peer} answers in {state.rtt_ms:.2f} ms")


def _database(spec: Spec, site: str, role: str) -> Check:
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    state = observe_database(cluster)
    hint = f"systemctl status {cluster.unit}; tail /var/log/postgresql/postgresql-{cluster.version}-{cluster.name}.log"
    if role == "primary":
        if state.role is Role.PRIMARY:
            return Check("database", site, True, f"{cluster} accepts writes")
        return Check("database", site, False, f"{cluster} is {state.role}: {state.reason or 'not writable'}", hint)
    if state.role is Role.STANDBY and state.streaming in (Streaming.STREAMING, Streaming.CATCHING_UP):
        return Check("database", site, True, f"{cluster} streams from {state.sender_host}")
    message = f"{cluster} is {state.role}, {state.streaming}: {state.reason or 'it does not stream'}"
    return Check("database", site, False, message, hint)


def _agent(spec: Spec, site: str) -> Check:
    """Whether the agent answers on its socket, and the peer's agent answers it."""
    from secondsite.agent.client import ask

    hint = "journalctl -u secondsite-agent.service -n 50"
    try:
        told = ask("/v1/status", timeout=AGENT_SECONDS).read()
    except SecondsiteError as silent:
        return Check("agent", site, False, silent.message, hint)
    peer = spec.peer_of(site)
    if not told.get("sites", {}).get(peer, {}).get("reachable"):
        return Check("agent", site, False, f"the agent does not reach the agent of {peer}", hint)
    return Check("agent", site, True, f"the agent answers, and so does {peer}'s")


def check_from_json(document: Mapping[str, Any]) -> Check:
    """The inverse of ``Check.as_json``."""
    return Check(document["check"], document["site"], document["ok"], document["message"], document.get("hint"))
