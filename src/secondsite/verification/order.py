"""Take looks at both sites so that each sees all that the one before it saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from secondsite.database.lsn import to_text
from secondsite.errors import FinalError, RetryableError
from secondsite.verification.side import Document, Side

BEHIND_SECONDS = 30.0
SETTLE_SECONDS = 5.0
POLL_SECONDS = 0.05
_PAGE, _PAGE_HEADER = 8192, 24  # WAL pages; the next record begins behind the header, the last ended before it


@dataclass(frozen=True, slots=True)
class Pair:
    """The sites of a verification, by what they are now."""

    primary: Side
    standby: Side
    behind_seconds: float = BEHIND_SECONDS
    settle_seconds: float = SETTLE_SECONDS

    async def look_at_primary(self, act: str, request: Document) -> Document:
        """A look that sees whatever an earlier one at the standby saw.

        Raises RetryableError (``verify-busy``) where a commit that the standby has stays invisible at the primary: it
        waits for a synchronous standby.
        """
        await self._settled()
        return await self.primary.ask(act, request)

    async def look_at_standby(self, act: str, request: Document, after: int) -> Document:
        """Sees all that lies before the primary's position ``after``. Raises RetryableError (``behind``)."""
        await self.replayed(after)
        return await self.standby.ask(act, request)

    async def roles(self) -> None:
        """Raises FinalError (``verify-roles``) where one of them is not, or no more, what it was taken for."""
        for side, standby in ((self.primary, False), (self.standby, True)):
            found = await side.ask("position")
            if found["standby"] is not standby:
                raise FinalError(
                    f"the database at {side.site} is {'a standby' if found['standby'] else 'a primary'} now",
                    slug="verify-roles", host=side.site, step="verify", hint="secondsite status",
                )  # fmt: skip

    async def replayed(self, lsn: int) -> None:
        """Wait for the standby."""
        if lsn % _PAGE == _PAGE_HEADER:
            lsn -= _PAGE_HEADER
        deadline = asyncio.get_running_loop().time() + self.behind_seconds
        while True:
            found = await self.standby.ask("position")
            if not found["standby"]:
                await self.roles()
            if found["lsn"] >= lsn:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise RetryableError(
                    f"the standby stands at {to_text(found['lsn'])} and has not replayed {to_text(lsn)} within"
                    f" {self.behind_seconds:g} s",
                    slug="behind", host=self.standby.site, step="verify", hint="secondsite status",
                )  # fmt: skip
            await asyncio.sleep(POLL_SECONDS)

    async def _settled(self) -> None:
        """No transaction that the standby shows is still invisible at the primary."""
        horizon = await self.standby.ask("horizon")
        running = (await self.primary.ask("running", horizon))["transactions"]
        if not running:
            return
        seen = set((await self.standby.ask("committed", {"transactions": running}))["transactions"])
        deadline = asyncio.get_running_loop().time() + self.settle_seconds
        while seen & set((await self.primary.ask("running", horizon))["transactions"]):
            if asyncio.get_running_loop().time() > deadline:
                raise RetryableError(
                    "commits wait at the primary for a synchronous standby: no order of looks is known",
                    slug="verify-busy", host=self.primary.site, step="verify", hint="secondsite status",
                )  # fmt: skip
            await asyncio.sleep(POLL_SECONDS)
