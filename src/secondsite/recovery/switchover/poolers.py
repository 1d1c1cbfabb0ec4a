"""PgBouncer at both sites: each sends its clients to the new primary, the old site's through the tunnel."""

from __future__ import annotations

import asyncio

from secondsite.errors import SecondsiteError
from secondsite.events import Emit
from secondsite.recovery.acts.poolers import SendClientsHere, warn
from secondsite.recovery.step import Details
from secondsite.recovery.switchover.context import SwitchoverContext

POOL_SECONDS = 15.0
PATIENCE_SECONDS = 30.0


class SendClients(SendClientsHere):
    """The same at both sites. The old site's agent may be starting anew, and its clients wait: it is asked again."""

    timeout_seconds = POOL_SECONDS + PATIENCE_SECONDS + 10
    _context: SwitchoverContext

    async def apply(self, emit: Emit) -> Details:
        here, there = await asyncio.gather(super().apply(emit), self._there(), return_exceptions=True)
        if isinstance(here, BaseException):
            raise here
        if isinstance(there, BaseException):
            raise there
        warn(there, self._context.peer.site, emit)
        return {"here": here, "there": there}

    async def _there(self) -> Details:
        context = self._context
        try:
            return await context.primary.insist(
                "pooler", {"primary": self.site}, seconds=POOL_SECONDS, patience=PATIENCE_SECONDS
            )
        except SecondsiteError as failed:
            first = failed.hint or f"see to it that {context.peer.site} answers"
            failed.hint = f"{first}; its clients wait; then: {context.go_on}"
            raise
