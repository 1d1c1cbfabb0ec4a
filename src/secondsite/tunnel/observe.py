"""The tunnel now, as WireGuard on this host tells it."""

from __future__ import annotations

from secondsite.errors import SecondsiteError
from secondsite.process import run
from secondsite.spec import Spec
from secondsite.tunnel import rtt
from secondsite.tunnel.dump import Dump, parse
from secondsite.tunnel.state import TunnelState

LOOK_SECONDS = 5.0


async def dump(interface: str) -> Dump:
    """What ``wg`` says. Raises SecondsiteError where the interface is not there or wg is not installed."""
    done = await run(["wg", "show", interface, "dump"], timeout=LOOK_SECONDS, step=f"look at {interface}")
    return parse(done.stdout)


async def observe(spec: Spec, site: str, *, probe: bool = True, samples: int = rtt.SAMPLES) -> TunnelState:
    """The tunnel at ``site``, this host; never raises for a tunnel that is down: that is the answer.

    probe: also measure the round trip to the peer by so many ``samples``, about a second for as many as usual.
    """
    try:
        found = await dump(spec.tunnel.interface)
    except SecondsiteError as down:
        return TunnelState(up=False, reason=down.message)
    address = spec.tunnel_address(spec.peer_of(site))
    peer = next((peer for peer in found.peers if f"{address}/32" in peer.allowed), None)
    if peer is None:
        return TunnelState(up=True, public_key=found.public_key, reason="the tunnel has no peer for the other site")
    return TunnelState(
        up=True,
        public_key=found.public_key,
        peer_key=peer.public_key,
        peer_endpoint=peer.endpoint,
        peer_allowed=peer.allowed,
        last_handshake_at=peer.last_handshake_at,
        rtt_ms=await _round_trip(spec, site, samples) if probe else None,
        reason=None if peer.last_handshake_at else "no handshake with the peer yet",
    )


async def _round_trip(spec: Spec, site: str, samples: int) -> float | None:
    try:
        return await rtt.minimum(spec.tunnel_address(spec.peer_of(site)), samples=samples)
    except SecondsiteError:
        return None
