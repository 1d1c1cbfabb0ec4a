"""The file sets: fetch what can still be fetched."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from secondsite.errors import SecondsiteError
from secondsite.events import Emit
from secondsite.files.choice import pull
from secondsite.files.engine import held_back, last_complete, not_here
from secondsite.recovery.failover.context import FailoverAct, FailoverContext
from secondsite.recovery.failover.isolate import LONG_SECONDS
from secondsite.recovery.step import Details

PULL_SECONDS = 600.0
AFTER_SILENCE_SECONDS = 0.5


class LastPull(FailoverAct):
    """Fetch the files written since the last pull, where the old site still answers; say so where it does not."""

    name = "files"
    title = "Fetch the last files"
    needs = ("fence",)
    essential = False
    timeout_seconds = PULL_SECONDS + 30

    def __init__(self, context: FailoverContext) -> None:
        super().__init__(context)
        self.only_looks = context.peer_known_silent  # nothing is fetched, unless the fence is confirmed all the same

    async def apply(self, emit: Emit) -> Details:
        spec = self._context.spec
        reachable = await self._reachable()
        sets: dict[str, object] = {}
        for fileset in spec.files:
            complete_at = last_complete(fileset)
            complete = False
            fetched: object = f"{self._context.peer.site} does not answer: the copy stays as it was"
            if reachable:
                try:
                    result = await pull(spec, fileset, self._context.peer.address, timeout=PULL_SECONDS, emit=emit)
                    fetched, complete = asdict(result), result.complete
                except SecondsiteError as failure:
                    fetched = failure.message
            told = not_here(fileset) if not complete else None
            sets[fileset.name] = {
                "last_complete_at": complete_at,
                "final_pull": fetched,
                "told_not_here": told,
                "held_back": held_back(fileset),
            }
        return {"sets": sets}

    async def _reachable(self) -> bool:
        """Does the old site's file daemon answer? Not asked again of a site that was silent a moment ago; where only
        the fence was not answered, not for long: a tunnel that works has had its handshake by then."""
        confirmed = self._context.result("fence").get("fence") == "confirmed"
        if not confirmed and self._context.peer_known_silent:
            return False
        try:
            async with asyncio.timeout(LONG_SECONDS if confirmed else AFTER_SILENCE_SECONDS):
                _, writer = await asyncio.open_connection(
                    self._context.peer.address, self._context.spec.tunnel.files_port
                )
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True
