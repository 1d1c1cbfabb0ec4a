"""What the standby's database says of itself: over a connection that the agent has kept warm, else over a new one.

A session that is new reads its catalogs first, and that is most of what a look costs: milliseconds without service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe
from secondsite.database.promote import receiver_heard_at
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import SecondsiteError


class Kept(Protocol):
    """Somebody who keeps a connection to this host's cluster."""

    async def look(self) -> DatabaseState:
        """The cluster now; role UNKNOWN where that connection does not tell."""

    async def receiver_heard_at(self) -> float | None:
        """As ``promote.receiver_heard_at``, but raises RetryableError where the connection does not tell."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Asks at this moment, never out of memory. kept: asked first; a new connection has more patience."""

    cluster: Cluster
    kept: Kept | None = None

    async def look(self) -> DatabaseState:
        """The cluster now; as ``observe``."""
        if self.kept is not None and (state := await self.kept.look()).role is not Role.UNKNOWN:
            return state
        return await apart(observe, self.cluster)

    async def receiver_heard_at(self) -> float | None:
        """When the WAL receiver last heard from the primary (unix seconds); None where nothing is received."""
        if self.kept is not None:
            try:
                return await self.kept.receiver_heard_at()
            except SecondsiteError:
                pass  # asked over a connection of its own
        return await apart(receiver_heard_at, self.cluster)
