"""The password file with which this host streams from its peer, whichever of them is standby (manual 34.16)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge.files import wrong_access
from secondsite.converge.resource import Change
from secondsite.converge.write import atomically
from secondsite.database.cluster import OWNER
from secondsite.database.node import Node, owner
from secondsite.database.password import Password
from secondsite.database.settings import REWIND_ROLE, ROLE
from secondsite.events import Emit

MODE = 0o600


def render(address: str, port: int, password: Password) -> str:
    """A line a role: host, port, any database (replication included), role, password."""
    secret = _escape(password.reveal())
    return "".join(f"{address}:{port}:*:{role}:{secret}\n" for role in (ROLE, REWIND_ROLE))


def read(path: Path) -> Password | None:
    """The password an earlier apply left here; None where there is none of ours."""
    try:
        text = path.read_text()
    except OSError:
        return None
    for row in text.splitlines():
        _, mark, secret = row.partition(f":{ROLE}:")
        if mark:
            return Password(secret.replace("\\:", ":").replace("\\\\", "\\"))
    return None


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


@dataclass(frozen=True, slots=True)
class PassFile:
    """The file, readable by PostgreSQL's owner only."""

    node: Node
    address: str
    port: int
    password: Password

    @property
    def name(self) -> str:
        return f"file {self.node.passfile}"

    async def plan(self) -> Change | None:
        """What differs; the content never shows."""
        path = self.node.passfile
        if not path.exists():
            return Change("create")
        if path.read_text() != render(self.address, self.port, self.password):
            return Change("update the password or the address")
        wrong = wrong_access(path, MODE, OWNER, None) if os.geteuid() == 0 else None
        return Change(wrong) if wrong else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it."""
        content = render(self.address, self.port, self.password).encode()
        atomically(self.node.passfile, content, mode=MODE, owner=owner() or OWNER)
