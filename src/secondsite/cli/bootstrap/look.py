"""The facts of one host that both hosts' convergence depends on. Looks only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

from secondsite.cli.bootstrap.ports import Listener, listeners, strangers
from secondsite.converge import manifest
from secondsite.database import facts as database_facts
from secondsite.database.cluster import Cluster
from secondsite.database.facts import HostFacts
from secondsite.database.gather import gather
from secondsite.database.state import Role
from secondsite.errors import SecondsiteError
from secondsite.files.engine import is_original, taken_over_at
from secondsite.process import run
from secondsite.recovery import guard_converge
from secondsite.spec import Spec
from secondsite.tunnel.conf import conf_file
from secondsite.tunnel.keys import public_key


@dataclass(frozen=True, slots=True)
class HostLook:
    """One host. addresses: interface and address/prefix of all but the tunnel's own interface.

    foreign_tunnel: the tunnel's interface exists, or has a configuration, that secondsite did not write.
    files_reached: by file set that is the original here, how far it had come when it took over (unix seconds).
    as_primary: what is here as a primary has it, or left it: file sets that are the original, decisions of the guard.
    """

    site: str
    public_key: str | None
    database: HostFacts
    taken_ports: tuple[Listener, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    foreign_tunnel: str | None = None
    files_reached: Mapping[str, float | None] = field(default_factory=dict)
    as_primary: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """A document that ``from_json`` reads back; no secret is in it."""
        return {
            "site": self.site,
            "public_key": self.public_key,
            "database": database_facts.to_json(self.database),
            "taken_ports": [listener.as_json() for listener in self.taken_ports],
            "addresses": [list(pair) for pair in self.addresses],
            "foreign_tunnel": self.foreign_tunnel,
            "files_reached": dict(self.files_reached),
            "as_primary": list(self.as_primary),
        }


def from_json(document: Mapping[str, Any]) -> HostLook:
    """Raises pydantic.ValidationError, KeyError or TypeError on a document of another shape."""
    return HostLook(
        site=document["site"],
        public_key=document["public_key"],
        database=database_facts.from_json(document["database"]),
        taken_ports=tuple(Listener(**listener) for listener in document["taken_ports"]),
        addresses=tuple((str(pair[0]), str(pair[1])) for pair in document["addresses"]),
        foreign_tunnel=document["foreign_tunnel"],
        files_reached=document.get("files_reached") or {},
        as_primary=tuple(document.get("as_primary") or ()),
    )


async def look(spec: Spec, site: str) -> HostLook:
    """This host now, as ``site``. Raises SecondsiteError only where the host itself does not answer."""
    database, found, links = await asyncio.gather(gather(spec, site), listeners(), _addresses())
    ours = manifest.recorded(conf_file(spec.tunnel.interface)) is not None
    there = any(name == spec.tunnel.interface for name, _ in links)
    return HostLook(
        site=site,
        public_key=_public_key(spec.tunnel.interface),
        database=database,
        taken_ports=tuple(
            strangers(
                found,
                spec,
                tunnel_is_ours=ours and there,
                cluster_runs=database.role not in (Role.ABSENT, Role.STOPPED),
            )
        ),
        addresses=tuple(pair for pair in links if pair[0] != spec.tunnel.interface),
        foreign_tunnel=None if ours else _foreign(spec.tunnel.interface, there),
        files_reached={each.name: taken_over_at(each) for each in spec.files},
        as_primary=_as_primary(spec),
    )


def _as_primary(spec: Spec) -> tuple[str, ...]:
    sets = [f"file set {each.name}" for each in spec.files if is_original(each)]
    held = guard_converge.holds_back(Cluster.parse(spec.database.cluster, spec.database.port))
    return (*sets, "guard") if held else tuple(sets)


def _public_key(interface: str) -> str | None:
    try:
        return public_key(interface)
    except SecondsiteError:
        return None  # damaged: it will be replaced


def _foreign(interface: str, there: bool) -> str | None:
    if conf_file(interface).exists():
        return str(conf_file(interface))
    return f"interface {interface}" if there else None


async def _addresses() -> tuple[tuple[str, str], ...]:
    done = await run(["ip", "-j", "addr", "show"], timeout=10, check=False)
    try:
        links = json.loads(done.stdout or "[]")
    except ValueError:
        return ()
    return tuple(
        (link["ifname"], str(ip_interface(f"{address['local']}/{address['prefixlen']}")))
        for link in links
        for address in link.get("addr_info", [])
    )
