"""PgBouncer's resources: our file beside its own, one marked line that includes it, and PgBouncer following both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge.block import Block
from secondsite.converge.diff import unified
from secondsite.converge.resource import Change, Resource
from secondsite.database.pooler import act, state
from secondsite.database.pooler.console import console
from secondsite.database.pooler.include import (
    LABEL,
    address_of,
    defined_twice,
    include_file,
    include_line,
    render,
)
from secondsite.errors import FinalError, RetryableError
from secondsite.events import Emit
from secondsite.spec import Pooler, Spec


def resources(spec: Spec, site: str, primary: str) -> list[Resource]:
    """Nothing where the file describes no pooler. primary: the site whose database its clients are for."""
    pooler = spec.database.pooler
    if pooler is None:
        return []
    config = Path(pooler.config)
    return [
        Target(spec, pooler, address_of(spec, site, primary)),
        Block(config, include_line(config), LABEL),
        Followed(pooler, address_of(spec, site, primary)),
    ]


@dataclass(frozen=True, slots=True)
class Target:
    """Our file: where the database is. It comes before the line that includes it, which must find it."""

    spec: Spec
    pooler: Pooler
    address: str

    @property
    def name(self) -> str:
        return f"file {include_file(Path(self.pooler.config))}"

    async def plan(self) -> Change | None:
        """What differs. Raises FinalError (``pooler-missing``, ``pooler-defined-twice``)."""
        config, path = Path(self.pooler.config), include_file(Path(self.pooler.config))
        if not config.exists():
            raise FinalError(
                f"there is no {config}",
                slug="pooler-missing",
                step=self.name,
                hint="install and configure PgBouncer at both sites, or take [database.pooler] out of the file",
            )
        twice = defined_twice(config.read_text(errors="surrogateescape"), self.pooler.databases)
        if twice:
            raise FinalError(
                f"{config} defines {', '.join(twice)} as well, and only one of the two definitions counts",
                slug="pooler-defined-twice",
                step=self.name,
                hint=f"remove the line from {config}; what it sets besides host, port and dbname goes to"
                " database.pooler.options",
            )
        found, wanted = path.read_text() if path.exists() else "", render(self.spec, self.address)
        if found == wanted:
            return None
        return Change("update" if found else "create", unified(found, wanted, str(path)))

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it; PgBouncer learns of it afterwards."""
        act.point(self.spec, self.pooler, self.address)


@dataclass(frozen=True, slots=True)
class Followed:
    """PgBouncer runs and does what our file says. It is reloaded, never restarted: no client notices."""

    pooler: Pooler
    address: str

    @property
    def name(self) -> str:
        return "PgBouncer"

    async def plan(self) -> Change | None:
        """Whether it has not read our file yet. Raises RetryableError (``pooler-unreachable``)."""
        found = await asyncio.to_thread(state.look, self.pooler)
        if found.reason is not None:
            raise RetryableError(
                found.reason,
                slug="pooler-unreachable",
                step=self.name,
                hint=f"systemctl enable --now {self.pooler.unit}",
            )
        stale = (*found.missing, *found.elsewhere(self.address))
        return Change(f"reload: it has not read where {', '.join(stale)} is") if stale else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Have it read its files again."""
        await asyncio.to_thread(self._reload)

    def _reload(self) -> None:
        with console(self.pooler) as line:
            line.ask("RELOAD")
