"""What PgBouncer says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondsite.database.pooler.console import console
from secondsite.database.pooler.include import included
from secondsite.errors import SecondsiteError
from secondsite.spec import Pooler

LOOK_SECONDS = 2.0
SESSION = "session"


@dataclass(frozen=True, slots=True)
class Pooled:
    """One database as PgBouncer has it. mode: when a connection of the server is released."""

    name: str
    host: str
    port: str
    paused: bool
    mode: str


@dataclass(frozen=True, slots=True)
class PoolerState:
    """PgBouncer on one host. reason: why it could not be asked, None where it answered. query_wait_seconds: how long a
    client may wait before it is sent away, 0 for ever. busy: process ids of the server's
    sessions that work for a client. included: its configuration includes our file."""

    databases: tuple[Pooled, ...] = ()
    missing: tuple[str, ...] = ()
    query_wait_seconds: float = 0.0
    busy: tuple[int, ...] = ()
    included: bool = True
    reason: str | None = None

    @property
    def paused(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.databases if one.paused)

    @property
    def in_sessions(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.databases if one.mode == SESSION)

    def elsewhere(self, address: str) -> tuple[str, ...]:
        """The databases that are not looked for at ``address``."""
        return tuple(one.name for one in self.databases if one.host != address)


def look(pooler: Pooler, *, seconds: float = LOOK_SECONDS) -> PoolerState:
    """Ask it; silence is a state, not an error. Blocks: for a thread."""
    try:
        with console(pooler, seconds=seconds) as line:
            rows = {row["name"]: row for row in line.ask("SHOW DATABASES")}
            servers = line.ask("SHOW SERVERS")
            ours_too = included(Path(pooler.config))
            config = {row["key"]: row["value"] for row in line.ask("SHOW CONFIG")}
    except SecondsiteError as silent:
        return PoolerState(reason=silent.message)
    found = tuple(
        Pooled(name, row["host"], row["port"], row["paused"] == "1", row["pool_mode"] or config["pool_mode"])
        for name in pooler.databases
        if (row := rows.get(name)) is not None
    )
    missing = tuple(name for name in pooler.databases if name not in rows)
    ours = [row for row in servers if row["database"] in pooler.databases and row["state"] == "active"]
    busy = tuple(int(row["remote_pid"]) for row in ours if row["remote_pid"].isdecimal())
    return PoolerState(found, missing, float(config["query_wait_timeout"] or 0), busy, ours_too)
