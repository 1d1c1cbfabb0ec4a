"""A primary and its standby as the agent sees them, with the one setting that the agent changes."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.database.commit_wait import Act, names
from secondsite.database.state import DatabaseState, Follower
from tests.unit.objectives_worlds import primary, standby


@dataclass(slots=True)
class FakePrimary:
    """Answers as ``agent.database.LocalDatabase`` does; what it is asked to change counts from the next look on."""

    names: str = ""
    streams: bool = True
    writable: bool = True
    told_at: float = 0.0  # when the standby's last report came

    async def look(self) -> DatabaseState:
        if not self.writable:
            return standby()
        mode = "sync" if self.names else "async"
        follower = Follower("bergen", "streaming", mode, 1000, self.told_at)
        settings = (("synchronous_standby_names", self.names), ("synchronous_commit", "on"))
        return primary(followers=(follower,) if self.streams else (), settings=settings)

    def held(self) -> bool:
        return False

    async def beat(self, generation: int) -> float | None:
        return self.told_at

    async def change_waiting(self, act: Act, peer: str) -> None:
        self.names = names(peer) if act is Act.WAIT else "" if act in (Act.STOP, Act.REMOVE) else self.names

    async def close(self) -> None:
        """There is no connection."""
