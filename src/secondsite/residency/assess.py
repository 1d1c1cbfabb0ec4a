"""Where the sites are said to be, what the file allows, and what the network's speed lets one doubt. Pure.

Countries, operators and places are declared, not verified, and every message says so: a round-trip time bounds a
distance, and proves neither a country nor the absence of copies elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from secondsite.residency.bounds import SAME_BUILDING_MS, Bound, bound, least_rtt_ms
from secondsite.residency.finding import ResidencyFinding, Severity
from secondsite.spec.advise import SAME_PLACE_KM
from secondsite.spec.geography import great_circle_km
from secondsite.spec.model import Spec

SUBNET = {4: 24, 6: 48}  # addresses that share this many bits usually share a building
_ORDER: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class _Case:
    """What every rule looks at."""

    spec: Spec
    rtt_ms: float | None
    declared_km: float


def assess(spec: Spec, rtt_ms_min: float | None) -> tuple[ResidencyFinding, ...]:
    """Every finding, the worst first. rtt_ms_min: smallest of at least 20 authenticated round trips, or None."""
    first, second = spec.sites.values()
    case = _Case(spec, rtt_ms_min, great_circle_km(first.location, second.location))
    found = [finding for rule in _RULES for finding in rule(case)]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def _country(case: _Case) -> Iterator[ResidencyFinding]:
    allowed = case.spec.residency.allowed_countries
    for name, site in case.spec.sites.items():
        if allowed and site.country not in allowed:
            yield ResidencyFinding(
                "country-allowed",
                "critical",
                name,
                f"stands in {site.country} (declared, not verified); allowed: {', '.join(allowed)}",
                "move the site, or allow the country if the data may be there",
            )


def _distance(case: _Case) -> Iterator[ResidencyFinding]:
    limit = case.spec.residency.max_distance_km
    if limit is not None and case.declared_km > limit:
        yield ResidencyFinding(
            "distance-allowed",
            "critical",
            None,
            f"the sites are {case.declared_km:.0f} km apart (declared, not verified); allowed: {limit:g} km",
            "move a site, or raise residency.max_distance_km",
        )


def _contradiction(case: _Case) -> Iterator[ResidencyFinding]:
    """An answer faster than light from the declared place: a declaration is wrong. A failover works all the same."""
    least = least_rtt_ms(case.declared_km)
    if case.rtt_ms is not None and case.rtt_ms < least:
        yield ResidencyFinding(
            "location-plausible",
            "warning",
            None,
            f"a round trip took {case.rtt_ms:.2f} ms, and over the declared {case.declared_km:.0f} km light needs "
            f"{least:.2f} ms: at least one declared location is wrong",
            "correct the location in the file, or ask the operator where the host stands",
        )


def _same_building(case: _Case) -> Iterator[ResidencyFinding]:
    if case.rtt_ms is not None and case.rtt_ms < SAME_BUILDING_MS:
        yield ResidencyFinding(
            "sites-apart",
            "warning",
            None,
            f"a round trip takes {case.rtt_ms:.2f} ms: the hosts may stand in one building, "
            "and what destroys one may destroy both",
            "put the standby in another town",
        )


def _same_subnet(case: _Case) -> Iterator[ResidencyFinding]:
    first, second = (site.public for site in case.spec.sites.values())
    if first.version != second.version:
        return
    bits = SUBNET[first.version]
    if second in ip_network(f"{first}/{bits}", strict=False):
        yield ResidencyFinding(
            "subnets-apart",
            "warning",
            None,
            f"{first} and {second} share a /{bits}: one router, and often one building, serves both",
            "put the standby in another network",
        )


def _same_place(case: _Case) -> Iterator[ResidencyFinding]:
    first, second = case.spec.sites.values()
    same_operator = first.operator.strip().casefold() == second.operator.strip().casefold()
    if case.declared_km < SAME_PLACE_KM and same_operator:
        yield ResidencyFinding(
            "places-apart",
            "warning",
            None,
            f"both sites are run by {first.operator} within {SAME_PLACE_KM:g} km (declared, not verified)",
            "put the standby in another town, with another operator",
        )


def _declared(case: _Case) -> Iterator[ResidencyFinding]:
    for name, site in case.spec.sites.items():
        latitude, longitude = site.location
        yield ResidencyFinding(
            "declared",
            "info",
            name,
            f"{site.operator}, {site.country}, {latitude:.2f}, {longitude:.2f} (declared, not verified)",
        )


def _proven(case: _Case) -> Iterator[ResidencyFinding]:
    """The one thing a round trip does prove."""
    if case.rtt_ms is None:
        yield ResidencyFinding(
            "distance-bound",
            "info",
            None,
            "no round-trip time was measured, so no distance is bounded",
        )
        return
    yield ResidencyFinding("distance-bound", "info", None, claim(bound(case.rtt_ms)))


def claim(limit: Bound) -> str:
    """What may be said about a bound, and what may not."""
    return (
        f"the holder of the other site's tunnel key was within {limit.km:.0f} km "
        f"({limit.fibre_km:.0f} km if the whole way is fibre): the smallest round trip took {limit.rtt_ms:.2f} ms. "
        "This bounds a distance; it proves no country, and no absence of copies elsewhere"
    )


_RULES = (
    _country,
    _distance,
    _contradiction,
    _same_building,
    _same_subnet,
    _same_place,
    _declared,
    _proven,
)
