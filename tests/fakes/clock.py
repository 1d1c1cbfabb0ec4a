"""A clock that a test sets. Its sleep lets time pass and keeps nobody waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class SetClock:
    """Wall time and monotonic time go on together, unless somebody sets the wall."""

    def __init__(self, wall: datetime = datetime(2026, 11, 22, 3, 12, tzinfo=UTC), monotonic: float = 0.0) -> None:
        self.wall = wall
        self._monotonic = monotonic

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)
        await asyncio.sleep(0)  # others get their turn

    def pass_(self, seconds: float) -> None:
        """Time goes on. Never backwards: only the wall can be set so."""
        self._monotonic += max(0.0, seconds)
        self.wall += timedelta(seconds=max(0.0, seconds))
