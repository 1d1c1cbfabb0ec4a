"""Addresses, networks and ports that must not meet."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from urllib.parse import urlsplit

from secondsite.spec.draft import Draft
from secondsite.spec.faults import Loc, Problem
from secondsite.spec.fields import split_server
from secondsite.spec.ssh import split_destination

_THIS = IPv4Network("0.0.0.0/8")


def one_host_each(draft: Draft) -> Iterator[Problem]:
    """Two sites on one host are one site."""
    if len(draft.sites) != 2:
        return
    (first, here), (second, there) = draft.sites.items()
    if here.public == there.public:
        yield Problem(
            ("sites", second, "public"),
            f"{first} and {second} have the same public address {here.public}",
            "two sites need two hosts",
        )
    if split_destination(here.ssh)[1:] == split_destination(there.ssh)[1:]:
        yield Problem(
            ("sites", second, "ssh"),
            f"{first} and {second} are reached at the same SSH destination {there.ssh}",
            "two sites need two hosts",
        )


def tunnel_is_usable(draft: Draft) -> Iterator[Problem]:
    if draft.tunnel is None:
        return
    loc, network = ("tunnel", "network"), draft.tunnel.network
    if network.num_addresses < 4:
        yield Problem(loc, f"{network} has no room for two sites", "use a /30 or larger, like 10.10.0.0/24")
    for bad, what in (
        (network.is_loopback, "loopback"), (network.is_multicast, "multicast"),
        (network.is_link_local, "link-local"), (network.overlaps(_THIS), "unusable"), (network.is_reserved, "reserved"),
    ):  # fmt: skip
        if bad:
            yield Problem(loc, f"{network} holds {what} addresses", "use a private network, like 10.10.0.0/24")
            return


def tunnel_is_apart(draft: Draft) -> Iterator[Problem]:
    """The tunnel's network holds the two hosts' tunnel addresses and nothing else."""
    if draft.tunnel is None:
        return
    network = draft.tunnel.network
    for name, site in draft.sites.items():
        if _within(site.public, network):
            yield Problem(
                ("sites", name, "public"),
                f"{site.public} lies inside tunnel.network {network}, so packets to it would enter the tunnel",
                "choose another tunnel network",
            )
    for number, clients in enumerate(draft.database.clients if draft.database else ()):
        if clients.overlaps(network):
            yield Problem(
                ("database", "clients", number),
                f"{clients} overlaps tunnel.network {network}",
                "choose another tunnel network, or name the clients' networks more narrowly",
            )
    for number, record in draft.dns.items():
        if _within(split_server(record.server)[0], network):
            yield Problem(
                ("dns", number, "server"),
                f"{record.server} lies inside tunnel.network {network}: the record could not be moved "
                "when the tunnel is down",
                "give an address of the server outside the tunnel",
            )


def ports_are_apart(draft: Draft) -> Iterator[Problem]:
    """TCP ports on the tunnel address; WireGuard's own port is UDP and meets none of them."""
    taken: dict[int, str] = {}
    for port, what, loc in _ports(draft):
        if port in taken:
            yield Problem(loc, f"port {port} is already used by {taken[port]}", "give each its own port")
        taken.setdefault(port, what)


def _ports(draft: Draft) -> Iterator[tuple[int, str, Loc]]:
    if draft.database:
        yield draft.database.port, "database.port", ("database", "port")
        if draft.database.delayed:
            yield draft.database.delayed.port, "database.delayed.port", ("database", "delayed", "port")
        if draft.database.pooler:
            yield draft.database.pooler.port, "database.pooler.port", ("database", "pooler", "port")
    if draft.tunnel:
        yield draft.tunnel.api_port, "tunnel.api_port", ("tunnel", "api_port")
        yield draft.tunnel.files_port, "tunnel.files_port", ("tunnel", "files_port")
        yield draft.tunnel.watch_port, "tunnel.watch_port", ("tunnel", "watch_port")
    if draft.service and draft.service.health:
        parts = urlsplit(draft.service.health)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        yield port, "service.health", ("service", "health")


def _within(address: IPv4Address | IPv6Address, network: IPv4Network) -> bool:
    return isinstance(address, IPv4Address) and address in network
