"""Our part of PgBouncer's configuration: a file with one line a database, and one line that includes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from secondsite.spec import Spec

LABEL = "pooler"
HERE = "127.0.0.1"
_SECTION = re.compile(r"^\[(\w+)\]$")


def include_file(config: Path) -> Path:
    """Our file: beside PgBouncer's own, where it can be read."""
    return config.parent / "secondsite.ini"


def include_line(config: Path) -> str:
    """What PgBouncer's own file must say at its end (pgbouncer(5), "Include directive")."""
    return f"%include {include_file(config)}"


def included(config: Path) -> bool:
    """Does PgBouncer's own file say so? No where it cannot be read."""
    try:
        return include_line(config) in config.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False


def address_of(spec: Spec, site: str, primary: str) -> str:
    """Where PgBouncer at ``site`` finds the database of ``primary``: on this host, or through the tunnel."""
    return HERE if site == primary else str(spec.tunnel_address(primary))


def render(spec: Spec, address: str) -> str:
    """The whole file. Raises ValueError where the file describes no pooler."""
    pooler = spec.database.pooler
    if pooler is None:
        raise ValueError("no pooler is described")
    more = f" {pooler.options}" if pooler.options else ""
    rows = [f"{name} = host={address} port={spec.database.port} dbname={name}{more}" for name in pooler.databases]
    head = f"; Written by secondsite for service {spec.service.name}. The host changes with every move.\n[databases]\n"
    return head + "\n".join(rows) + "\n"


def defined_twice(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that PgBouncer's own file defines as well: the last one counts, and both were meant."""
    section, found = "", []
    for row in text.splitlines():
        bare = row.strip()
        if match := _SECTION.match(bare):
            section = match[1]
        elif section == "databases" and "=" in bare and bare[0] not in ";#":
            found.append(bare.partition("=")[0].strip().strip('"'))
    return tuple(name for name in names if name in found)
