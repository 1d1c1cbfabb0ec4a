"""The clients of PgBouncer go on with the new primary: those who have waited, and those who come."""

from __future__ import annotations

from secondsite.events import Emit
from secondsite.recovery import pooling
from secondsite.recovery.acts.context import Act
from secondsite.recovery.step import Details


class SendClientsHere(Act):
    """PgBouncer here sends its clients to the database here. Only where the file describes one."""

    name = "pooler"
    title = "Let the clients of PgBouncer go on here"
    needs = ("promote",)

    async def holds(self) -> Details | None:
        return {} if await pooling.settled(self._context.spec, self.site, self.site) else None

    async def apply(self, emit: Emit) -> Details:
        return await pooling.go_on(self._context.spec, self.site, self.site)
