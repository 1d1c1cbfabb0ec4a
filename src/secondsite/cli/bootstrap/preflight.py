"""What would make an apply fail half-way, found before anything is touched. Pure, over what both hosts are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_interface

from secondsite.cli.bootstrap.look import HostLook
from secondsite.errors import FinalError, SecondsiteError
from secondsite.spec import Spec

STEP = "check the hosts"


def problems(spec: Spec, seen: Mapping[str, HostLook], primary: str) -> Iterator[SecondsiteError]:
    """Every reason to stop (``port-taken``, ``interface-taken``, ``network-taken``, ``same-host``)."""
    for site in spec.site_names:
        yield from _ports(spec, seen[site])
        yield from _tunnel(spec, seen[site])
    keys = {look.public_key for look in seen.values() if look.public_key}
    both = [look for look in seen.values() if look.public_key]
    if len(both) == 2 and len(keys) == 1:
        yield FinalError(
            "both sites have the same tunnel key: they are one host, or one is a copy of the other",
            slug="same-host",
            step=STEP,
            hint=f"on the copy: rm /etc/wireguard/{spec.tunnel.interface}.key, then run apply again",
        )


def _ports(spec: Spec, look: HostLook) -> Iterator[SecondsiteError]:
    keys = {
        spec.tunnel.api_port: "tunnel.api_port",
        spec.tunnel.files_port: "tunnel.files_port",
        spec.tunnel.watch_port: "tunnel.watch_port",
        spec.tunnel.port: "tunnel.port",
        spec.database.port: "database.port",
    }
    told = {(taken.protocol, taken.port): taken for taken in look.taken_ports}
    for taken in told.values():
        holder = " of ".join(part for part in (taken.process, taken.unit) if part) or "the kernel (another interface)"
        yield FinalError(
            f"port {taken.port}/{taken.protocol} is taken by {holder}",
            slug="port-taken",
            host=look.site,
            step=STEP,
            hint=f"stop it, or choose another port: {keys[taken.port]} in the file",
        )


def _tunnel(spec: Spec, look: HostLook) -> Iterator[SecondsiteError]:
    name = spec.tunnel.interface
    if look.foreign_tunnel is not None:
        yield FinalError(
            f"{look.foreign_tunnel} is there and is not secondsite's, so another tunnel uses the name {name}",
            slug="interface-taken",
            host=look.site,
            step=STEP,
            hint=f'choose another name in the file: tunnel.interface = "{name[:-1]}1"; or remove that tunnel first',
        )
    for interface, address in look.addresses:
        found = ip_interface(address)
        if found.version == 4 and found.network.overlaps(spec.tunnel.network):
            yield FinalError(
                f"the network of {interface} ({found.network}) overlaps the tunnel's ({spec.tunnel.network})",
                slug="network-taken",
                host=look.site,
                step=STEP,
                hint="choose another network in the file: tunnel.network",
            )
