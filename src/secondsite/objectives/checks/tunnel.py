"""Checks of the tunnel: everything that is replicated goes through it."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.objectives.finding import Judged, Problem, Registry, Severity

registry = Registry()
_HANDSHAKE_SECONDS = 300.0  # WireGuard shakes hands each 2 to 3 minutes while there is traffic


@registry.check("tunnel", Severity.CRITICAL, "Is the tunnel up at every site?")
def tunnel(judged: Judged) -> Iterator[Problem]:
    """Without the tunnel nothing is replicated."""
    interface = judged.situation.spec.tunnel.interface
    for state in judged.situation.here:
        if not state.tunnel.up:
            because = f": {state.tunnel.reason}" if state.tunnel.reason else ""
            yield Problem(
                state.site, f"the tunnel {interface} is down{because}", f"systemctl restart wg-quick@{interface}"
            )


@registry.check("handshake", Severity.WARNING, "Did the tunnel's ends shake hands lately?", sees=lambda s: s.tunnel.up)
def handshake(judged: Judged) -> Iterator[Problem]:
    """An interface that is up proves nothing; a handshake proves that the peer holds the right key."""
    for state in judged.situation.here:
        if not state.tunnel.up:
            continue
        peer = judged.situation.spec.peer_of(state.site)
        at = state.tunnel.last_handshake_at
        if at is None:
            yield Problem(
                state.site, f"never shook hands with {peer}", "is its public address right, and UDP let through?"
            )
        elif state.taken_at - at > _HANDSHAKE_SECONDS:
            minutes = (state.taken_at - at) / 60
            yield Problem(state.site, f"last handshake with {peer} was {minutes:.0f} min ago", "is UDP let through?")
