"""What the file may say, section by section. Faults between sections are found in ``crosscheck``."""

from __future__ import annotations

from datetime import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from secondsite.spec.quantities import Bytes, BytesPerSecond, Seconds, Share

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code")]
Command = tuple[str, ...]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Section(BaseModel):
    """Every section is frozen and refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Section):
    """Where a secret stands; never the secret itself. Exactly one of the two."""

    file: PurePosixPath | None = Field(None, description="file on the host, readable by root only")
    env: str | None = Field(None, description="environment variable")


class Service(Section):
    """What is protected."""

    name: Name = Field(description="short name, used in unit, slot and report names")
    units: tuple[str, ...] = Field((), description="systemd units: started where primary, stopped where standby")
    health: str | None = Field(None, description="URL on the host that answers 200 when the application works")


class Objectives(Section):
    """What the business can bear."""

    rpo: Seconds = Field(description="recovery point objective: how much work may be lost")
    rto: Seconds = Field(description="recovery time objective: how long the service may be away")


class Power(Section):
    """Commands that cut and restore a host's power (provider API, PDU), run where secondsite runs."""

    off: Command = Field((), description="argument list that powers the host off; also used to fence it")
    on: Command = Field((), description="argument list that powers the host on")


class Site(Section):
    """A place with a host, an operator and a jurisdiction."""

    ssh: str = Field(description="how the operator reaches the host: user@host or host, port as host:port")
    public: IPv4Address | IPv6Address = Field(description="public address: tunnel endpoint and DNS target")
    operator: str = Field(description="who runs the place (declared, not verified)")
    country: Country = Field(description="country the host stands in (declared, not verified)")
    location: tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=180)]] = Field(
        description="latitude and longitude in degrees"
    )
    power: Power = Field(default_factory=lambda: Power(off=(), on=()), description="power commands")
    fence: tuple[Command, ...] = Field((), description="further commands that fence this site, tried in order")


class Ssh(Section):
    """How SSH is spoken from the operator's machine."""

    config: str | None = Field(None, description="OpenSSH client configuration to use instead of ~/.ssh/config")
    connect_timeout: Seconds = Field("10s", validate_default=True, description="limit for reaching a host")


class Tunnel(Section):
    """The WireGuard tunnel between the sites."""

    network: IPv4Network = Field(description="addresses of the tunnel; the sites take .1 and .2 in file order")
    port: int = Field(51820, ge=1, le=65535, description="UDP port WireGuard listens on")
    interface: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,14}$")] = Field("wg0", description="its name")
    api_port: int = Field(7433, ge=1, le=65535, description="TCP port of the agents' API on the tunnel address")
    files_port: int = Field(7434, ge=1, le=65535, description="TCP port of the read-only file daemon, likewise")


class Database(Section):
    """The PostgreSQL cluster that is replicated."""

    cluster: Annotated[str, Field(pattern=r"^\d{2}/[a-zA-Z0-9_-]+$")] = Field(
        description="version/name as pg_lsclusters shows it, like 15/main"
    )
    port: int = Field(5432, ge=1, le=65535, description="port the cluster listens on")
    mode: Literal["async", "sync"] = Field("async", description="whether a commit waits for the standby")
    max_slot_wal: Bytes = Field("20GB", validate_default=True, description="WAL kept for an absent standby at most")
    clients: tuple[IPv4Network, ...] = Field(
        (), description="networks outside the hosts that may connect to the database; none by default"
    )


class FileSet(Section):
    """A folder that is mirrored."""

    name: Name = Field(description="its name in status and reports")
    path: PurePosixPath = Field(description="absolute path, the same at both sites")
    engine: Literal["auto", "rsync", "zfs"] = Field("auto", description="auto: zfs where the path is a dataset")
    interval: Seconds = Field("3s", validate_default=True, description="how often the standby pulls")
    bandwidth: BytesPerSecond | None = Field(None, description="limit of the transfer rate")
    exclude: tuple[str, ...] = Field((), description="rsync patterns left out of the set")
    versions: str | None = Field(None, description='what is kept, like "24h hourly, 14d daily"')
    max_delete: Share = Field("20%", validate_default=True, description="deletion budget: stop beyond this share")


class Tsig(Section):
    """The key that signs updates (RFC 8945)."""

    name: str = Field(description="key name as the server knows it")
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field("hmac-sha256", description="algorithm")
    secret: Secret = Field(description="where the base64 secret stands")


class DnsRecord(Section):
    """A record that points users to the site that is primary."""

    zone: str = Field(description="zone the record is in")
    name: str = Field(description='name relative to the zone; "@" is the zone itself')
    provider: Literal["rfc2136"] = Field("rfc2136", description="how the record is changed")
    server: str = Field(description="authoritative server that takes updates: address, or address:port")
    ttl: int = Field(60, ge=1, le=86400, description="time to live in seconds")
    tsig: Tsig | None = Field(None, description="key that signs updates")


class Guard(Section):
    """What a returning host does before it may accept writes."""

    when_nobody_answers: Literal["wait", "serve"] = Field(
        "wait", description="wait: stay read-only until a person decides; serve: accept writes"
    )
    patience: Seconds = Field("5s", validate_default=True, description="how long to ask before giving up")


class Window(Section):
    """When game days are allowed."""

    days: tuple[Day, ...] = Field(("mon", "tue", "wed", "thu", "fri"), description="days of the week")
    start: time = Field(description="first moment, local to the time zone")
    end: time = Field(description="last moment, local to the time zone")
    timezone: str = Field(description="IANA time zone, like Europe/Oslo")


class GameDay(Section):
    """How game days are held."""

    window: Window | None = Field(None, description="refuse outside this window; none means any time")
    probe: Command = Field((), description="program that acts as a customer and prints an attempt a line as JSON")
    url: str | None = Field(
        None, description="URL a customer uses, through the DNS name; probed where no program is given"
    )
    longest_fault: Seconds = Field("10m", validate_default=True, description="a fault undoes itself after this")


class Residency(Section):
    """Where data may be."""

    allowed_countries: tuple[Country, ...] = Field((), description="empty means no restriction")
    max_distance_km: float | None = Field(None, gt=0, description="sites farther apart than this are a finding")


class Spec(Section):
    """The whole file."""

    service: Service
    objectives: Objectives
    sites: dict[Name, Site] = Field(description="exactly two sites; file order gives the tunnel addresses")
    ssh: Ssh = Field(default_factory=lambda: Ssh.model_validate({}))
    tunnel: Tunnel
    database: Database
    files: tuple[FileSet, ...] = ()
    dns: tuple[DnsRecord, ...] = ()
    guard: Guard = Field(default_factory=lambda: Guard.model_validate({}))
    gameday: GameDay = Field(default_factory=lambda: GameDay.model_validate({}))
    residency: Residency = Field(default_factory=lambda: Residency.model_validate({}))

    @property
    def site_names(self) -> tuple[str, str]:
        """Both sites' names in file order."""
        first, second = self.sites
        return first, second

    def peer_of(self, site: str) -> str:
        """The other site's name."""
        first, second = self.site_names
        return second if site == first else first

    def tunnel_address(self, site: str) -> IPv4Address:
        """A site's address inside the tunnel: first host address for the first site, second for the second."""
        return self.tunnel.network.network_address + 1 + self.site_names.index(site)
