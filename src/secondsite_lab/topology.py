"""Who lives where: the hosts, their addresses and the networks between them."""

from dataclasses import dataclass
from itertools import permutations

from secondsite_lab.errors import UsageError

ZONE = "example.test"
SERVICE_NAME = "shop"
SERVICE_PORT = 8000
SERVICE_TTL = 5
TSIG_NAME = "secondsite"
TSIG_ALGORITHM = "hmac-sha256"
TUNNEL_NETWORK = "10.10.0.0/24"
UPLOADS = "/srv/shop/uploads"


@dataclass(frozen=True, slots=True)
class Site:
    """What `secondsite.toml` says about the place where a host stands."""

    operator: str
    country: str
    location: tuple[float, float]
    tunnel_address: str


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the lab, alone in its own subnet behind the router."""

    name: str
    address: str
    gateway: str
    network: str
    site: Site | None


_OSLO_SITE = Site("Example Hosting AS", "NO", (59.91, 10.75), "10.10.0.1")
_BERGEN_SITE = Site("Fjord Drift AS", "NO", (60.39, 5.32), "10.10.0.2")
OSLO = Host("oslo", "192.0.2.11", "192.0.2.1", "192.0.2.0/24", _OSLO_SITE)
BERGEN = Host("bergen", "198.51.100.12", "198.51.100.1", "198.51.100.0/24", _BERGEN_SITE)
WORLD = Host("world", "203.0.113.53", "203.0.113.1", "203.0.113.0/24", None)

HOSTS = (OSLO, BERGEN, WORLD)
SITES = (OSLO, BERGEN)
PRIMARY = OSLO
# Every way a packet can take between two hosts.
DIRECTIONS = tuple(permutations(HOSTS, 2))


def host_named(name: str) -> Host:
    """The host with this name; a usage error that lists the names otherwise."""
    for host in HOSTS:
        if host.name == name:
            return host
    raise UsageError(f"there is no host {name!r}", f"the hosts are {', '.join(host.name for host in HOSTS)}")


def site_of(host: Host) -> Site:
    """The site a host stands at; the world stands at none."""
    if host.site is None:
        raise UsageError(f"{host.name} is not one of the sites", f"sites: {', '.join(site.name for site in SITES)}")
    return host.site
