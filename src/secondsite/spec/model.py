"""What the file may say, section by section. Faults between sections are found in ``crosscheck``."""

from __future__ import annotations

from datetime import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from secondsite.spec.faults import refuse
from secondsite.spec.fields import (
    AbsolutePath,
    Cluster,
    Domain,
    FenceCommand,
    Interface,
    Latitude,
    Longitude,
    Pattern,
    PooledDatabases,
    PoolOptions,
    Port,
    PublicAddress,
    RecordName,
    SecretFile,
    Server,
    SshDestination,
    TableName,
    Text,
    TimeZone,
    Unit,
    Url,
    Variable,
    Versions,
)
from secondsite.spec.fields import Command as Command
from secondsite.spec.fields import Country as Country
from secondsite.spec.fields import Name as Name
from secondsite.spec.folders import Folder
from secondsite.spec.quantities import Bytes, BytesPerSecond, Seconds, Share

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Section(BaseModel):
    """Every section is frozen and refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Secret(Section):
    """Where a secret stands; never the secret itself. Exactly one of the two."""

    file: SecretFile | None = Field(None, description="file on the host, readable by root only")
    env: Variable | None = Field(None, description="environment variable")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise refuse(
                "give either a file or an environment variable" + (", not both" if self.file else ""),
                'write secret = { file = "/etc/secondsite/tsig.key" } or secret = { env = "NAME" }',
            )
        return self


class Service(Section):
    """What is protected."""

    name: Name = Field(description="short name, used in unit, slot and report names")
    units: tuple[Unit, ...] = Field((), description="systemd units: started where primary, stopped where standby")
    health: Url | None = Field(None, description="URL on the host that answers 200 when the application works")


class Objectives(Section):
    """What the business can bear."""

    rpo: Seconds = Field(description="recovery point objective: how much work may be lost")
    rto: Seconds = Field(description="recovery time objective: how long the service may be away")


class Power(Section):
    """Commands that cut and restore a host's power (provider API, PDU), run where secondsite runs."""

    off: Command = Field((), description="argument list that powers the host off; also used to fence it")
    on: Command = Field((), description="argument list that powers the host on")
    check: Command = Field(
        (), description="argument list that ends with 0 once the host is off; only this confirms a fence by command"
    )


class Site(Section):
    """A place with a host, an operator and a jurisdiction."""

    ssh: SshDestination = Field(description="how the operator reaches the host: user@host or host, port as host:port")
    public: PublicAddress = Field(description="public address: tunnel endpoint and DNS target")
    operator: Text = Field(description="who runs the place (declared, not verified)")
    country: Country = Field(description="country the host stands in (declared, not verified)")
    location: tuple[Latitude, Longitude] = Field(description="latitude and longitude in degrees")
    power: Power = Field(default_factory=lambda: Power(off=(), on=(), check=()), description="power commands")
    fence: tuple[FenceCommand, ...] = Field((), description="further commands that fence this site, tried in order")


class Ssh(Section):
    """How SSH is spoken from the operator's machine."""

    config: str | None = Field(None, description="OpenSSH client configuration to use instead of ~/.ssh/config")
    connect_timeout: Seconds = Field("10s", validate_default=True, description="limit for reaching a host")


class Tunnel(Section):
    """The WireGuard tunnel between the sites."""

    network: IPv4Network = Field(description="addresses of the tunnel; the sites take .1 and .2 in file order")
    port: Port = Field(51820, description="UDP port WireGuard listens on")
    interface: Interface = Field("wg0", description="its name")
    api_port: Port = Field(7433, description="TCP port of the agents' API on the tunnel address")
    files_port: Port = Field(7434, description="TCP port of the read-only file daemon, likewise")
    watch_port: Port = Field(7435, description="TCP port of the process that watches file sets, likewise")

    @property
    def inner_ports(self) -> tuple[int, ...]:
        """What we listen on inside the tunnel, and nowhere else."""
        return self.api_port, self.files_port, self.watch_port


class Pooler(Section):
    """A PgBouncer beside the database at each site, in front of it. Its clients wait through a switchover."""

    kind: Literal["pgbouncer"] = Field("pgbouncer", description="which pooler")
    databases: PooledDatabases = Field(description="databases that clients reach through it; named as in PostgreSQL")
    options: PoolOptions = Field(
        "", description='settings of each of them, like "pool_size=20"; never host or password'
    )
    config: AbsolutePath = Field(
        PurePosixPath("/etc/pgbouncer/pgbouncer.ini"), description="its configuration, the same at both sites"
    )
    socket: AbsolutePath = Field(
        PurePosixPath("/var/run/postgresql"), description="folder of its unix socket (unix_socket_dir)"
    )
    port: Port = Field(6432, description="port it listens on (listen_port)")
    unit: Unit = Field("pgbouncer.service", description="its systemd unit; it runs at both sites at all times")
    longest_transaction: Seconds = Field(
        "2s", validate_default=True, description="a switchover waits this long for transactions, then gives up"
    )


class Verify(Section):
    """What `verify` also asks of the database: the newest row of a table, or a statement with its answer."""

    database: Text = Field(description="the database it is in")
    table: TableName | None = Field(
        None, description="table whose newest row both sites must have, with its schema if not public"
    )
    column: Text | None = Field(None, description="column that grows with each row, like id or created_at; indexed")
    sql: Text | None = Field(None, description="one statement that reads; its first value is compared with expect")
    expect: bool | int | float | str | None = Field(None, description="what the first value of the first row must be")
    at: Literal["standby", "both"] = Field("standby", description="where the statement is run")
    timeout: Seconds = Field("30s", validate_default=True, description="the statement is ended after this")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        row, said = (self.table, self.column), (self.sql, self.expect)
        for whole, other in ((row, said), (said, row)):
            if None not in whole and other == (None, None):
                return self
        raise refuse(
            "give table and column, or sql and expect",
            'write table = "orders" and column = "id", or sql = "SELECT ..." and expect = 0',
        )

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name of the table."""
        schema, dot, name = (self.table or "").rpartition(".")
        return (schema if dot else "public"), name


class Delayed(Section):
    """A second standby that replays late on purpose, kept against human error: a cluster of its own at one site."""

    site: Name = Field(description="the site whose host keeps it")
    cluster: Cluster = Field(description="version/name, like 15/delayed; the version of database.cluster")
    port: Port = Field(5433, description="port of its unix socket; it listens on no network")
    delay: Seconds = Field("1h", validate_default=True, description="how long it holds back what it has received")


class Database(Section):
    """The PostgreSQL cluster that is replicated."""

    cluster: Cluster = Field(description="version/name as pg_lsclusters shows it, like 15/main")
    port: Port = Field(5432, description="port the cluster listens on")
    mode: Literal["async", "sync"] = Field("async", description="whether a commit waits for the standby")
    when_standby_lost: Literal["degrade", "block"] = Field(
        "degrade", description="mode sync, standby lost. degrade: commits stop waiting; block: commits hang"
    )
    degrade_after: Seconds = Field(
        "10s", validate_default=True, description="degrade: commits wait this long for a lost standby, at least 3s"
    )
    max_slot_wal: Bytes = Field("20GB", validate_default=True, description="WAL kept for an absent standby at most")
    keep_logical_slots: bool = Field(
        False,
        strict=True,
        description="whether the standby copies logical slots marked failover; PostgreSQL 17 or newer",
    )
    clients: tuple[IPv4Network, ...] = Field(
        (), description="networks outside the hosts that may connect to the database; none by default"
    )
    pooler: Pooler | None = Field(None, description="PgBouncer in front of it; none by default")
    delayed: Delayed | None = Field(None, description="a second standby that replays late; none by default")
    amcheck: bool = Field(
        False, strict=True, description="create the extension amcheck at apply, so that verify can check indexes"
    )
    verify: tuple[Verify, ...] = Field((), description="what verify also asks: [[database.verify]]")


class FileSet(Section):
    """A folder that is mirrored."""

    name: Name = Field(description="its name in status and reports")
    path: Folder = Field(description="absolute path, the same at both sites")
    engine: Literal["auto", "rsync", "zfs"] = Field(
        "auto", description="auto: zfs where the path is a dataset's mount point at both sites, else rsync"
    )
    interval: Seconds = Field("3s", validate_default=True, description="how often the standby pulls")
    bandwidth: BytesPerSecond | None = Field(None, description="limit of the transfer rate, and of what `verify` reads")
    exclude: tuple[Text, ...] = Field((), description="rsync patterns left out of the set")
    include: tuple[Pattern, ...] = Field(
        (),
        description="rsync patterns that stay in the set although `exclude` has them: they are asked first. What is "
        "below a folder that is left out stays out",
    )
    versions: Versions | None = Field(
        None, description='kept at the standby beside the newest state, like "1h every 5m, 24h hourly, 14d daily"'
    )
    max_delete: Share = Field(
        "20%",
        validate_default=True,
        description="deletion budget: hold back what is deleted beyond this share, at once or within an hour. What "
        "came within the last hour does not count, unless the whole set gets smaller by so much at once",
    )
    max_change: Share = Field(
        "50%",
        validate_default=True,
        description="stop when a larger share is rewritten, renamed or deleted within an hour, and over 100 files; "
        "100% never does. What came within the last hour does not count, so a trial begins an hour later",
    )

    @property
    def patterns(self) -> tuple[str, ...]:
        """What is left out, as a list in rsync's old form: the first that matches decides, and "+ " keeps it."""
        return (*(f"+ {each}" for each in self.include), *self.exclude)


class Tsig(Section):
    """The key that signs updates (RFC 8945)."""

    name: Domain = Field(description="key name as the server knows it")
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field("hmac-sha256", description="algorithm")
    secret: Secret = Field(description="where the base64 secret stands")


class DnsRecord(Section):
    """A record that points users to the site that is primary."""

    zone: Domain = Field(description="zone the record is in")
    name: RecordName = Field(description='name relative to the zone; "@" is the zone itself')
    provider: Literal["rfc2136"] = Field("rfc2136", description="how the record is changed")
    server: Server = Field(description="authoritative server that takes updates: address, or address:port")
    ttl: int = Field(60, strict=True, ge=1, le=86400, description="time to live in seconds")
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
    timezone: TimeZone = Field(description="IANA time zone, like Europe/Oslo")


class GameDay(Section):
    """How game days are held."""

    window: Window | None = Field(None, description="refuse outside this window; none means any time")
    probe: Command = Field((), description="program that acts as a customer and prints an attempt a line as JSON")
    url: Url | None = Field(
        None, description="URL a customer uses, through the DNS name; probed where no program is given"
    )
    longest_fault: Seconds = Field("10m", validate_default=True, description="a fault undoes itself after this")


class Residency(Section):
    """Where data may be."""

    allowed_countries: tuple[Country, ...] = Field((), description="empty means no restriction")
    max_distance_km: float | None = Field(
        None, strict=True, gt=0, description="sites farther apart than this are a finding"
    )


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
        first, second = self.sites  # two, as crosscheck has made sure
        return first, second

    def peer_of(self, site: str) -> str:
        """The other site's name."""
        first, second = self.site_names
        return second if site == first else first

    def tunnel_address(self, site: str) -> IPv4Address:
        """A site's address inside the tunnel: first host address for the first site, second for the second."""
        return self.tunnel.network.network_address + 1 + self.site_names.index(site)
