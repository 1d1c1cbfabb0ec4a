"""What the agent knows at this moment: each duty writes its part, everyone reads one frozen snapshot."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from secondsite.database.condition import Condition
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.pooler.state import PoolerState
from secondsite.database.state import DatabaseState, Role
from secondsite.dns.state import RecordState
from secondsite.files.state import FileSetState
from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.rto import PastRun, remembered, together
from secondsite.objectives.snapshot import (
    CommitWait,
    FenceCommand,
    LagSample,
    LastPrimary,
    LastProcedure,
    Silence,
    SiteState,
    SiteView,
    Trouble,
    Unfinished,
    UnitState,
    Verified,
)
from secondsite.tunnel.state import TunnelState

RECENT_SECONDS = 300


@dataclass(slots=True)
class Board:
    """Mutable, and written from the event loop's thread only."""

    site: str
    peer: str
    version: str
    config_hash: str
    database: DatabaseState = field(default_factory=lambda: DatabaseState(Role.UNKNOWN, reason="not looked at yet"))
    tunnel: TunnelState = field(default_factory=lambda: TunnelState(up=False, reason="not looked at yet"))
    held: bool = False  # read-only by our mark: no standby, whatever its role says
    files: tuple[FileSetState, ...] = ()
    units: tuple[UnitState, ...] = ()
    dns: tuple[RecordState, ...] = ()
    active: bool = False
    guard_reason: str | None = None
    quarantining_peer: bool = False
    last_primary: LastPrimary | None = None
    disk_free_bytes: int | None = None
    healthy: bool | None = None
    commits: CommitWait | None = None
    condition: Condition | None = None
    history: tuple[PastRun, ...] = ()
    pooler: PoolerState | None = None
    delayed: DelayedState | None = None
    unfinished: Unfinished | None = None
    last_procedure: LastProcedure | None = None
    verified: Verified | None = None
    fence_commands: tuple[FenceCommand, ...] | None = None
    pools: tuple[PoolState, ...] | None = None
    recent: deque[LagSample] = field(default_factory=deque)
    looked_at: float = 0.0
    peer_view: SiteView = field(default_factory=lambda: Silence("", "not asked yet"))
    peer_clock_offset: float | None = None

    def remember(self, samples: Sequence[LagSample]) -> None:
        """Keep the last minutes at hand for the sparkline."""
        self.recent.extend(samples)
        while self.recent and self.recent[0].at < self.looked_at - RECENT_SECONDS:
            self.recent.popleft()

    def state(self, troubles: Sequence[Trouble] = (), *, samples: bool = True) -> SiteState:
        """This site as of the last look."""
        return SiteState(
            site=self.site,
            taken_at=self.looked_at,
            version=self.version,
            agent_running=True,
            config_hash=self.config_hash,
            database=self.database,
            tunnel=self.tunnel,
            files=self.files,
            units=self.units,
            dns=self.dns,
            active=self.active,
            guard_reason=self.guard_reason,
            quarantining_peer=self.quarantining_peer,
            last_primary=self.last_primary,
            samples=tuple(self.recent) if samples else (),
            disk_free_bytes=self.disk_free_bytes,
            healthy=self.healthy,
            peer_clock_offset=self.peer_clock_offset,
            troubles=tuple(troubles),
            history=remembered(self.history),
            commits=self.commits,
            condition=self.condition,
            pooler=self.pooler,
            delayed=self.delayed,
            unfinished=self.unfinished,
            last_procedure=self.last_procedure,
            verified=self.verified,
            fence_commands=self.fence_commands,
            pools=self.pools,
        )

    def recoveries(self) -> tuple[PastRun, ...]:
        """Those of both hosts, as far as the peer has ever told."""
        peer = self.peer_view.last if isinstance(self.peer_view, Silence) else self.peer_view
        return together(self.history, peer.history if peer else ())

    def views(self, troubles: Sequence[Trouble] = (), *, samples: bool = True) -> dict[str, SiteView]:
        """Both sites as this one sees them."""
        return {self.site: self.state(troubles, samples=samples), self.peer: self.peer_view}
