"""What the tunnel needs on this host, in order."""

from __future__ import annotations

from pathlib import Path

from secondsite.converge.files import TextFile
from secondsite.converge.resource import Resource
from secondsite.errors import SecondsiteError
from secondsite.process import run
from secondsite.spec import Spec, paths
from secondsite.tunnel import conf, firewall
from secondsite.tunnel.interface import Interface
from secondsite.tunnel.keys import KeyPair, private_key
from secondsite.tunnel.secrets import PEER_TOKEN, shared

PACKAGES = ("wireguard-tools", "nftables", "iputils-ping", "iproute2")
_MODULE = Path("/sys/module/wireguard")


async def packages() -> tuple[str, ...]:
    """Debian packages of the tunnel; wireguard-go too where the kernel has no WireGuard."""
    return PACKAGES if await kernel_has_wireguard() else (*PACKAGES, "wireguard-go")


async def kernel_has_wireguard() -> bool:
    """Whether the module is loaded, built in, or could be loaded; asking loads nothing."""
    if _MODULE.exists():
        return True
    try:
        return (await run(["modprobe", "-n", "-q", "wireguard"], timeout=5, check=False)).ok
    except SecondsiteError:
        return False


def key_resources(spec: Spec) -> list[Resource]:
    """What must be there before the peers can learn each other's public keys."""
    return [KeyPair(spec.tunnel.interface)]


def resources(spec: Spec, site: str, peer_key: str | None) -> list[Resource]:
    """The firewall first, then the tunnel. peer_key: None while the peer has no key (a plan before apply)."""
    interface = spec.tunnel.interface
    own = private_key(interface)
    token = shared(own, peer_key, PEER_TOKEN) if own is not None and peer_key is not None else "(derived by apply)"
    return [
        *firewall.resources(spec),
        TextFile(paths.PEER_KEY, f"{peer_key or conf.UNKNOWN_KEY}\n"),
        TextFile(paths.PEER_TOKEN, f"{token}\n", mode=0o600, secret=True),
        TextFile(conf.conf_file(interface), conf.render(spec, site, peer_key), mode=0o600),
        Interface(spec, site, peer_key),
    ]
