"""The DNS records: asked for now and then, and soon again while they do not fit who is primary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from secondsite.agent.board import Board
from secondsite.clock import Clock
from secondsite.dns.state import RecordState
from secondsite.objectives.situation import Situation
from secondsite.spec import Spec

SETTLED_SECONDS = 30.0
UNSETTLED_SECONDS = 2.0


class Records:
    """What the authoritative servers say, on the board with the moment at which they were asked."""

    def __init__(
        self, spec: Spec, board: Board, ask: Callable[[], Awaitable[tuple[RecordState, ...]]], clock: Clock
    ) -> None:
        self._spec = spec
        self._board = board
        self._ask = ask
        self._clock = clock
        self._due = 0.0

    async def look(self) -> None:
        """Ask now."""
        now = self._clock.now().timestamp()
        self._due = self._clock.monotonic() + UNSETTLED_SECONDS
        self._board.dns = tuple(replace(record, looked_at=now) for record in await self._ask())
        if self.settled():
            self._due += SETTLED_SECONDS - UNSETTLED_SECONDS

    async def when_due(self) -> None:
        """Ask where it is time, or where roles have changed since: what was seen before a failover is no alarm."""
        if self._clock.monotonic() >= self._due or (self._was_settled() and not self.settled()):
            await self.look()

    def settled(self) -> bool:
        """Do all records point to the primary?"""
        primary = Situation(self._spec, self._board.views(samples=False)).primary
        return all(record.points_to == primary for record in self._board.dns)

    def _was_settled(self) -> bool:
        return self._due - self._clock.monotonic() > UNSETTLED_SECONDS
