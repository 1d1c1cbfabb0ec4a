"""What single values may be. Rules that pydantic cannot say are functions here, and speak plain English."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field

from secondsite.spec import countries, retention
from secondsite.spec.faults import refuse
from secondsite.spec.ssh import split_destination

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,30}$"
COUNTRY_PATTERN = r"^[A-Z]{2}$"
INTERFACE_PATTERN = r"^[a-z][a-z0-9_-]{0,14}$"
CLUSTER_PATTERN = r"^\d{2}/[a-zA-Z0-9_-]+$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
DATABASE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$"

# What a value that does not match is not, and how it is written.
PATTERN_WORDS = {
    NAME_PATTERN: ("no name", "use lower-case letters, digits and hyphens, a letter first, 31 at most"),
    COUNTRY_PATTERN: ("no country code", 'write two capital letters, like "NO"'),
    INTERFACE_PATTERN: ("no interface name", 'use at most 15 lower-case letters and digits, like "wg0"'),
    CLUSTER_PATTERN: ("no cluster", 'write version/name as pg_lsclusters shows it, like "15/main"'),
    DATABASE_PATTERN: ("no database name", "use letters, digits, underscores and hyphens, 63 at most"),
    VARIABLE_PATTERN: ("no environment variable", 'use letters, digits and underscores, like "TSIG_SECRET"'),
}

POSTGRESQL = range(13, 19)  # major versions this release knows
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}\.(service|socket|timer|path|target)")
_OURS = re.compile(r"(postgresql(@.*)?|secondsite.*|wg-quick@.*)\.\w+")
_PAIR = re.compile(r"([a-z_]+)=[^\s='\\]+")
_NOT_THEIRS = ("host", "port", "dbname", "password", "auth_dbname")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _text(value: str) -> str:
    if not value.strip():
        raise refuse("must not be empty")
    return value


def _command(value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not value[0].strip():
        raise refuse("the first word names the program and must not be empty")
    return value


def _country(value: str) -> str:
    if value not in countries.CODES:
        likely = countries.meant(value)
        hint = f'did you mean "{likely}"?' if likely else "see ISO 3166-1 alpha-2 for the list"
        raise refuse(f'"{value}" is no country of ISO 3166', hint)
    return value


def _unit(value: str) -> str:
    if _OURS.fullmatch(value) or _OURS.fullmatch(f"{value}.service"):
        raise refuse(
            f'"{value}" is started and stopped by secondsite itself',
            "list only the application's own units",
        )
    if not _UNIT.fullmatch(value):
        likely = f'did you mean "{value}.service"?' if _UNIT.fullmatch(f"{value}.service") else None
        raise refuse(
            f'"{value}" is no unit that can be started: it must end in .service, .socket, .timer, .path or .target',
            likely,
        )
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port != 0
    except ValueError:
        raise refuse(f'"{value}" is no URL', 'write it like "http://127.0.0.1:8000/health"') from None
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in value or not port_is_fine:
        raise refuse(f'"{value}" is no http or https URL', 'write it like "http://127.0.0.1:8000/health"')
    if parts.username or parts.password:
        raise refuse("a user or password must not stand in the URL", "give the check a path that is open")
    return value


def _ssh(value: str) -> str:
    try:
        split_destination(value)
    except ValueError:
        raise refuse(f'"{value}" is no SSH destination', 'write "user@host", "host" or "user@host:port"') from None
    return value


def _public(value: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    for bad, what in (
        (value.is_loopback, "a loopback address"), (value.is_multicast, "a multicast address"),
        (value.is_unspecified, "no address of a host"), (value.is_link_local, "a link-local address"),
    ):  # fmt: skip
        if bad:
            raise refuse(f"{value} is {what}", "give the address at which the other site reaches the host")
    return value


def _domain(value: str) -> str:
    bare = value.removesuffix(".")
    labels = bare.split(".")
    if len(bare) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise refuse(f'"{value}" is no domain name', 'write it like "example.no"')
    return value


def _record(value: str) -> str:
    if value == "@":
        return value
    if value.endswith("."):
        raise refuse(f'"{value}" must be relative to the zone', 'write "shop", or "@" for the zone itself')
    labels = value.removeprefix("*.").split(".") if value != "*" else []
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise refuse(f'"{value}" is no name of a record', 'write it like "shop", or "@" for the zone itself')
    return value


def split_server(value: str) -> tuple[IPv4Address | IPv6Address, int]:
    """Address and port of "203.0.113.53", "203.0.113.53:5353" or "[2001:db8::53]:5353". Raises ValueError."""
    if value.startswith("["):
        address, _, port = value[1:].partition("]")
        port = port.removeprefix(":") if port else "53"
    elif value.count(":") == 1:
        address, _, port = value.partition(":")
    else:
        address, port = value, "53"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{port} is no port")
    return ip_address(address), int(port)


def _server(value: str) -> str:
    try:
        split_server(value)
    except ValueError:
        raise refuse(
            f'"{value}" is no address of a DNS server',
            "give an IP address, with a port if it is not 53: a host name needs the DNS that may be down",
        ) from None
    return value


def _cluster(value: str) -> str:
    major = int(value.partition("/")[0])
    if major not in POSTGRESQL:
        raise refuse(
            f"PostgreSQL {major} is not supported",
            f"versions {POSTGRESQL.start} to {POSTGRESQL.stop - 1} are",
        )
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if available_timezones():  # a machine without the database cannot judge
            raise refuse(f'"{value}" is no time zone', 'write it like "Europe/Oslo"') from None
    return value


def _retention(value: str) -> str:
    try:
        retention.parse(value)
    except ValueError as wrong:
        raise refuse(str(wrong)) from None
    return value


def _pooled(value: str) -> str:
    if value == "pgbouncer":
        raise refuse('"pgbouncer" is PgBouncer\'s own console', "name the databases that clients connect to")
    return value


def _some_databases(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise refuse("must not be empty", "name the databases that clients connect to")
    return value


def _pool_options(value: str) -> str:
    for word in value.split():
        pair = _PAIR.fullmatch(word)
        if pair is None:
            raise refuse(
                f'"{word}" is no setting of a database', 'write pairs, like "pool_size=20 pool_mode=transaction"'
            )
        if pair[1] in _NOT_THEIRS:
            hint = "users and passwords belong into PgBouncer's auth_file" if pair[1] == "password" else None
            raise refuse(f'"{pair[1]}" is not set here', hint or "secondsite writes it, and changes it with every move")
    return value


def _absolute(value: PurePosixPath) -> PurePosixPath:
    if not value.is_absolute() or ".." in value.parts:
        raise refuse("is no absolute path", 'write it like "/etc/pgbouncer/pgbouncer.ini"')
    return value


def _secret_file(value: PurePosixPath) -> PurePosixPath:
    if not value.is_absolute() or ".." in value.parts:
        raise refuse("is no absolute path", 'write it like "/etc/secondsite/tsig.key"')
    return value


def _table(value: str) -> str:
    parts = value.split(".")
    if len(parts) > 2 or not all(part and part == part.strip() for part in parts):
        raise refuse(f'"{value}" is no table', 'write "orders" or "schema.orders", without quotes')
    return value


def _pattern(value: str) -> str:
    """One that rsync and the stream read alike. The stream has no character classes and no escapes."""
    odd = any(each in value.removesuffix("/***") for each in ("//", "***"))
    for what, bad in (
        ("it names nothing", not value.removesuffix("/***").strip("/")),
        ('it has "//", or "***" without a slash before and an end behind', odd),
        ('it has a "[" or a backslash', "[" in value or "\\" in value),
        ('it begins with "+ " or "- ", or is a "!"', value.startswith(("+ ", "- ")) or value == "!"),
    ):
        if bad:
            raise refuse(
                f"{value!r} is no pattern that is understood here: {what}",
                'write a plain one: a name like "*.pdf", a path from the top like "/cache/logo.png", or "keep/***"',
            )
    return value


Text = Annotated[str, AfterValidator(_text)]
Pattern = Annotated[str, AfterValidator(_text), AfterValidator(_pattern)]
TableName = Annotated[str, AfterValidator(_table)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Country = Annotated[
    str, Field(pattern=COUNTRY_PATTERN, description="ISO 3166-1 alpha-2 code"), AfterValidator(_country)
]
Command = Annotated[tuple[str, ...], AfterValidator(_command)]
FenceCommand = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_command)]
Unit = Annotated[str, AfterValidator(_unit)]
Url = Annotated[str, AfterValidator(_url)]
SshDestination = Annotated[str, AfterValidator(_ssh)]
PublicAddress = Annotated[IPv4Address | IPv6Address, AfterValidator(_public)]
Latitude = Annotated[float, Field(strict=True, ge=-90, le=90)]
Longitude = Annotated[float, Field(strict=True, ge=-180, le=180)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Interface = Annotated[str, Field(pattern=INTERFACE_PATTERN)]
Cluster = Annotated[str, Field(pattern=CLUSTER_PATTERN), AfterValidator(_cluster)]
Domain = Annotated[str, AfterValidator(_domain)]
RecordName = Annotated[str, AfterValidator(_record)]
Server = Annotated[str, AfterValidator(_server)]
TimeZone = Annotated[str, AfterValidator(_zone)]
Versions = Annotated[str, AfterValidator(_retention)]
PooledDatabase = Annotated[str, Field(pattern=DATABASE_PATTERN), AfterValidator(_pooled)]
PooledDatabases = Annotated[tuple[PooledDatabase, ...], AfterValidator(_some_databases)]
PoolOptions = Annotated[str, AfterValidator(_pool_options)]
AbsolutePath = Annotated[PurePosixPath, AfterValidator(_absolute)]
SecretFile = Annotated[PurePosixPath, AfterValidator(_secret_file)]
Variable = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
