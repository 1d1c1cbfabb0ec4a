"""The clients of PgBouncer go on with the new primary: those who have waited, and those who come."""

from __future__ import annotations

from secondsite.events import Emit, Note
from secondsite.recovery import pooling
from secondsite.recovery.acts.context import Act
from secondsite.recovery.step import Details


class SendClientsHere(Act):
    """PgBouncer here sends its clients to the database here. Only where the file describes one.

    One that is down stops nothing: it reads where to send its clients when it starts, and the agent sees to the rest.
    """

    name = "pooler"
    title = "Let the clients of PgBouncer go on here"
    needs = ("promote",)

    async def holds(self) -> Details | None:
        return {} if await pooling.settled(self._context.spec, self.site, self.site) else None

    async def apply(self, emit: Emit) -> Details:
        done = await pooling.go_on(self._context.spec, self.site, self.site)
        warn(done, self.site, emit)
        return done


def warn(done: Details, site: str, emit: Emit) -> None:
    """Tell what a person should know of how the clients at ``site`` were let go."""
    if "warning" in done:
        emit(Note(str(done["warning"]), site, "warning"))
