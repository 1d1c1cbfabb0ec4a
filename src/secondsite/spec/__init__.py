"""The file: one description of a service at two sites.

The sections are loaded when first asked for: pydantic costs a program that needs only ``paths`` most of its start.
"""

TYPE_CHECKING = False  # as mypy knows it; typing costs the failover's command (cli/urgent.py) a third of its start
if TYPE_CHECKING:
    from secondsite.spec.model import (
        Command,
        Database,
        Delayed,
        DnsRecord,
        FileSet,
        Guard,
        Objectives,
        Pooler,
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
    "Delayed",
    "DnsRecord",
    "FileSet",
    "Guard",
    "Objectives",
    "Pooler",
    "Residency",
    "Secret",
    "Service",
    "Site",
    "Spec",
    "Ssh",
    "Tsig",
    "Tunnel",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from secondsite.spec import model

    return getattr(model, name)
