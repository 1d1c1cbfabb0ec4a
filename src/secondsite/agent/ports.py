"""What the agent needs from elsewhere, as ports: the composition gives the real ones, tests give fakes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from secondsite.agent.database import Database
from secondsite.agent.procedures import ProcedureRunner
from secondsite.agent.selffence import Fencer
from secondsite.database.commit_wait import Act
from secondsite.database.condition import Condition
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.pooler.state import PoolerState
from secondsite.dns.state import RecordState
from secondsite.events import Emit
from secondsite.files.state import FileSetState
from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import FenceCommand, UnitState
from secondsite.spec import paths
from secondsite.tunnel.state import TunnelState

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Handover = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Files(Protocol):
    """Keeps the file sets: pulls while this site is standby, stands still while it is not."""

    def states(self) -> tuple[FileSetState, ...]:
        """Each file set now."""

    async def keep(self, is_standby: Callable[[], bool], is_primary: Callable[[], bool]) -> None:
        """For ever. A set that fails is a state, not an exception."""


@dataclass(frozen=True, slots=True)
class Places:
    """Paths the agent writes and reads."""

    samples: Path = paths.SAMPLES
    last_primary: Path = paths.LAST_PRIMARY
    socket: Path = paths.SOCKET
    peer_token: Path = paths.PEER_TOKEN
    active: Path = paths.ACTIVE
    guard_verdict: Path = paths.GUARD_VERDICT
    quarantine: Path = paths.QUARANTINE
    file_daemon: Path = paths.RSYNCD_PID
    fenced: Path = paths.FENCED
    uncovered: Path = paths.UNCOVERED
    journal: Path = paths.JOURNAL
    lock: Path = paths.LOCK
    verified: Path = paths.VERIFIED
    disk: Path = Path("/var/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Ports:
    """The world as the agent meets it."""

    database: Database
    tunnel: Callable[[bool], Awaitable[TunnelState]]  # True: also measure the round trip, about a second
    dns: Callable[[], Awaitable[tuple[RecordState, ...]]]
    units: Callable[[], Awaitable[tuple[UnitState, ...]]]
    healthy: Callable[[], Awaitable[bool | None]]
    condition: Callable[[], Awaitable[Condition | None]]
    pooler: Callable[[bool, bool], Awaitable[PoolerState | None]]  # whether this site, and the peer, accept writes
    delayed: Callable[[bool], Awaitable[DelayedState | None]]  # whether this site's own cluster answers
    fence_commands: Callable[[], tuple[FenceCommand, ...]]
    pools: Callable[[], Awaitable[tuple[PoolState, ...]]]
    files: Files
    history: Callable[[], tuple[PastRun, ...]]
    ask_guard_again: Callable[[], Awaitable[None]]
    fence: Handler
    unfence: Handler
    handover: Handover
    verify: Handover
    fence_self: Fencer
    procedures: ProcedureRunner
    change_waiting: Callable[[Act], Awaitable[bool]]  # False where a procedure works on this host: it has the say
    announce: Emit
    places: Places = field(default_factory=Places)
