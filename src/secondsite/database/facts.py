"""What the two hosts must know of each other before either can be converged: plain frozen data, and JSON of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from secondsite.database.password import Password


@dataclass(frozen=True, slots=True)
class ClusterLine:
    """A cluster of this host as pg_lsclusters shows it."""

    version: str
    name: str
    port: int
    status: str
    data: str


@dataclass(frozen=True, slots=True)
class Collation:
    """A database's collation: the version its indexes were built with, and the one this host's libraries have."""

    database: str
    collate: str
    recorded: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One host, as ``gather`` found it. Sizes in bytes, positions in bytes of WAL.

    role: database.state.Role. config_files: name to text, our file and our blocks left out. settings: name to value,
    from pg_settings. oldest_wal: the first position whose WAL is still in pg_wal. forks: each earlier timeline of this
    server's history and the position where it was left. extensions: what the databases use;
    extensions_available: what the packages here offer. passfile: our password file is in place.
    """

    site: str
    role: str
    clusters: tuple[ClusterLine, ...] = ()
    versions: tuple[str, ...] = ()  # majors whose server programs are installed
    system_identifier: str | None = None
    timeline: int | None = None
    state: str | None = None  # of the control file
    data_checksums: bool = False
    wal_segment_bytes: int | None = None
    data_bytes: int = 0
    disk_free_bytes: int = 0
    tablespaces: tuple[str, ...] = ()
    oldest_wal: int | None = None
    forks: tuple[tuple[int, int], ...] = ()
    config_files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    collations: tuple[Collation, ...] = ()
    locales: tuple[str, ...] = ()
    libc: str = ""
    extensions: tuple[str, ...] = ()
    extensions_available: tuple[str, ...] = ()
    passfile: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What converging one host needs. Addresses are the tunnel's; primary: what ``gather`` found there."""

    own_address: str
    peer_address: str
    password: Password
    primary: HostFacts | None = None


def to_json(facts: HostFacts) -> dict[str, Any]:
    """A document that ``from_json`` reads back; it holds no secret."""
    return asdict(facts)


def from_json(document: Mapping[str, Any]) -> HostFacts:
    """Raises pydantic.ValidationError on a document of another shape."""
    return TypeAdapter(HostFacts).validate_python(document, strict=False)
