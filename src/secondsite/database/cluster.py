"""A PostgreSQL cluster as Debian's postgresql-common lays it out (man pg_lsclusters): where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OWNER = "postgres"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Paths and names of one cluster, like 15/main."""

    version: str
    name: str
    port: int = 5432

    @classmethod
    def parse(cls, text: str, port: int = 5432) -> Cluster:
        """From "15/main"."""
        version, _, name = text.partition("/")
        return cls(version, name, port)

    def __str__(self) -> str:
        return f"{self.version}/{self.name}"

    @property
    def data(self) -> Path:
        return Path("/var/lib/postgresql", self.version, self.name)

    @property
    def config(self) -> Path:
        return Path("/etc/postgresql", self.version, self.name)

    @property
    def unit(self) -> str:
        return f"postgresql@{self.version}-{self.name}.service"

    @property
    def socket_directory(self) -> Path:
        return Path("/var/run/postgresql")

    def program(self, name: str) -> str:
        """Path of one of PostgreSQL's own programs in this version."""
        return f"/usr/lib/postgresql/{self.version}/bin/{name}"
