"""The file: one description of a service at two sites."""

from secondsite.spec.model import (
    Command,
    Database,
    DnsRecord,
    FileSet,
    Guard,
    Objectives,
    Residency,
    Secret,
    Service,
    Site,
    Spec,
    Ssh,
    Tsig,
    Tunnel,
)

__all__ = [
    "Command",
    "Database",
    "DnsRecord",
    "FileSet",
    "Guard",
    "Objectives",
    "Residency",
    "Secret",
    "Service",
    "Site",
    "Spec",
    "Ssh",
    "Tsig",
    "Tunnel",
]
