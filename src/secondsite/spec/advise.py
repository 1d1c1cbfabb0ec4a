"""Warnings: what is allowed, and still likely to disappoint on the day. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.spec.faults import Problem
from secondsite.spec.fields import split_server
from secondsite.spec.geography import great_circle_km
from secondsite.spec.model import Spec

SAME_PLACE_KM = 1.0


def advise(spec: Spec) -> tuple[Problem, ...]:
    """Every warning about a file that has no faults."""
    checks = (_places, _operators, _dns, _tunnel, _clients, _silence)
    return tuple(problem for check in checks for problem in check(spec))


def _places(spec: Spec) -> Iterator[Problem]:
    first, second = spec.sites.values()
    distance = great_circle_km(first.location, second.location)
    if distance < SAME_PLACE_KM:
        yield Problem(
            ("sites", spec.site_names[1], "location"),
            f"the sites are {distance * 1000:.0f} m apart: what destroys one may destroy both",
            "a standby in another town survives a fire, a flood and a power cut",
        )


def _operators(spec: Spec) -> Iterator[Problem]:
    first, second = spec.sites.values()
    if first.operator.strip().casefold() == second.operator.strip().casefold():
        yield Problem(
            ("sites", spec.site_names[1], "operator"),
            f"both sites are run by {second.operator}: its outage or a closed account takes both",
            "a standby with another operator survives that",
        )


def _dns(spec: Spec) -> Iterator[Problem]:
    if not spec.dns:
        yield Problem(("dns",), "no DNS record is declared, so users are not led to the other site", "add a [[dns]]")
    for number, record in enumerate(spec.dns):
        address = split_server(record.server)[0]
        for name, site in spec.sites.items():
            if address == site.public:
                yield Problem(
                    ("dns", number, "server"),
                    f"the DNS server stands at {name}: if that site is lost, the record cannot be moved",
                    "use a server outside both sites",
                )
        if record.tsig is None:
            yield Problem(
                ("dns", number, "tsig"),
                "updates are not signed: whoever can reach the server may be able to move the record",
                "add tsig with a key that the server knows",
            )


def _tunnel(spec: Spec) -> Iterator[Problem]:
    if not spec.tunnel.network.is_private:
        yield Problem(
            ("tunnel", "network"),
            f"{spec.tunnel.network} is not private: the hosts will not reach its real owners any more",
            "use a private network, like 10.10.0.0/24",
        )


def _clients(spec: Spec) -> Iterator[Problem]:
    for number, clients in enumerate(spec.database.clients):
        if clients.prefixlen == 0:
            yield Problem(
                ("database", "clients", number), "the whole internet may connect to the database", "narrow it"
            )


def _silence(spec: Spec) -> Iterator[Problem]:
    if spec.service.health is None:
        yield Problem(
            ("service", "health"),
            "no health URL: recovery ends when the database answers, whether or not the application works",
            "give the URL that answers 200 when the application works",
        )
