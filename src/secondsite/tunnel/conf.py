"""The wg-quick file of this host (man wg-quick). It holds no secret: the key is loaded from its own file."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from secondsite.spec import Spec
from secondsite.tunnel.keys import WIREGUARD, key_file

KEEPALIVE_SECONDS = 25  # keeps a NAT mapping open; WireGuard's own recommendation
UNKNOWN_KEY = "(the peer's public key, which apply learns)"


def conf_file(interface: str) -> Path:
    """Where wg-quick looks for the interface."""
    return WIREGUARD / f"{interface}.conf"


def render(spec: Spec, site: str, peer_key: str | None) -> str:
    """The file for ``site``. peer_key: None while the peer has no key, as in a plan before the first apply."""
    peer = spec.peer_of(site)
    interface = spec.tunnel.interface
    return "\n".join(
        [
            f"# Written by secondsite for service {spec.service.name}: this host is {site}, the peer is {peer}.",
            "[Interface]",
            f"Address = {spec.tunnel_address(site)}/{spec.tunnel.network.prefixlen}",
            f"ListenPort = {spec.tunnel.port}",
            f"PostUp = wg set %i private-key {key_file(interface)}",
            "",
            "[Peer]",
            f"PublicKey = {peer_key or UNKNOWN_KEY}",
            f"AllowedIPs = {spec.tunnel_address(peer)}/32",
            f"Endpoint = {endpoint(spec.sites[peer].public, spec.tunnel.port)}",
            f"PersistentKeepalive = {KEEPALIVE_SECONDS}",
            "",
        ]
    )


def endpoint(address: IPv4Address | IPv6Address, port: int) -> str:
    """As ``wg`` writes it: an IPv6 address in brackets."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
