"""What the tunnel is at one moment, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TunnelState:
    """WireGuard here: is the interface up, and when did the peer last shake hands (unix seconds)?

    peer_allowed: the addresses the peer may use inside. rtt_ms: minimum round trip of the last probe, None where
    the peer did not answer.
    """

    up: bool
    public_key: str | None = None
    peer_key: str | None = None
    peer_endpoint: str | None = None
    peer_allowed: tuple[str, ...] = ()
    last_handshake_at: float | None = None
    rtt_ms: float | None = None
    reason: str | None = None
