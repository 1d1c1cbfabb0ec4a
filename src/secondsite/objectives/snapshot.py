"""What one site is at one moment: the frozen snapshot that every decision is a pure function of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from secondsite.database.condition import Condition
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.pooler.state import PoolerState
from secondsite.database.state import DatabaseState
from secondsite.dns.state import RecordState
from secondsite.files.state import FileSetState
from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.rto import PastRun
from secondsite.tunnel.state import TunnelState


@dataclass(frozen=True, slots=True)
class UnitState:
    """A systemd unit: ActiveState and SubState as systemctl shows them."""

    name: str
    active: str
    sub: str = ""


@dataclass(frozen=True, slots=True)
class FenceCommand:
    """A command of the file with which this host would fence the other one: its key there, its program, and why that
    cannot be started here; None where nothing speaks against it."""

    key: str
    program: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A duty of the agent that fails now: which, what was seen, since when (unix seconds)."""

    duty: str
    message: str
    since: float


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The newest procedure of a site where it died or stopped half-way. since: when it began (unix seconds)."""

    procedure: str
    id: str
    since: float


@dataclass(frozen=True, slots=True)
class LastProcedure:
    """The newest procedure of a site where it is over. ended_at: unix seconds, that site's clock.

    why, hint: what failed first, and what its error said to do. to: the site that was to take over, where it was told.
    """

    procedure: str
    id: str
    outcome: str
    ended_at: float
    why: str | None = None
    hint: str | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class LagSample:
    """A replica's lag at a moment (unix seconds). None means unknown, never zero."""

    at: float
    replica: str
    seconds: float | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class LastPrimary:
    """The primary's last known position, kept at the standby: the estimate when the primary is gone.

    at, heartbeat_at: unix seconds (this host's clock, the primary's clock). synchronous: whatever it had acknowledged
    was here; in_step_at: the last moment (this host's clock) at which it saw its standby answer. clock_offset: the
    primary's clock minus this host's, as it was then; None where it is not known.
    """

    at: float
    flushed: int
    timeline: int
    heartbeat_at: float | None = None
    synchronous: bool = False
    in_step_at: float | None = None
    clock_offset: float | None = None


@dataclass(frozen=True, slots=True)
class CommitWait:
    """How a primary's commits wait for its standby, as its agent has followed it.

    answers: the standby streams and reports. missing_seconds: since how long it was not seen to. covered: what was
    acknowledged before commits began to wait is at the standby, too. stopped_at: since when (unix seconds) the agent
    has them wait no longer, because the standby is lost; None where it has not stopped.
    """

    answers: bool
    missing_seconds: float
    covered: bool
    stopped_at: float | None = None


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check of ``verify`` that found the copy not to be what it should be. at: unix seconds."""

    name: str
    kind: str
    at: float
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What ``verify`` last found at a site while that was the standby. at: unix seconds; checks: how many are kept.

    seen: how many checks of the last run could look; None where an older version has not counted them.
    """

    at: float
    checks: int
    failed: tuple[FailedCheck, ...] = ()
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class SiteState:
    """Everything one site knows about itself at ``taken_at`` (unix seconds, its own clock)."""

    site: str
    taken_at: float
    version: str
    agent_running: bool
    config_hash: str
    database: DatabaseState
    tunnel: TunnelState
    files: tuple[FileSetState, ...] = ()
    units: tuple[UnitState, ...] = ()
    dns: tuple[RecordState, ...] = ()
    active: bool = False  # the guard has allowed writes since boot
    guard_reason: str | None = None  # why the guard keeps it read-only
    quarantining_peer: bool = False
    last_primary: LastPrimary | None = None
    samples: tuple[LagSample, ...] = ()  # recent, oldest first; for the sparkline
    disk_free_bytes: int | None = None
    healthy: bool | None = None  # the application's health URL, where the service runs here
    peer_clock_offset: float | None = None  # the peer's clock minus this one, seconds; None before the first answer
    troubles: tuple[Trouble, ...] = ()  # duties of the agent that fail now
    history: tuple[PastRun, ...] = ()  # the last recoveries that this host's journals prove
    commits: CommitWait | None = None  # None at a site that is not the primary, or whose agent does not run
    condition: Condition | None = None  # None before the first, and where the cluster does not answer
    pooler: PoolerState | None = None  # None where the file describes none, and before the first look
    delayed: DelayedState | None = None  # None where this site keeps no delayed standby, and before the first look
    unfinished: Unfinished | None = None  # a procedure that this host's journals prove to be unfinished
    last_procedure: LastProcedure | None = None  # the newest that they prove to be over
    verified: Verified | None = None  # None where this site was never verified
    fence_commands: tuple[FenceCommand, ...] | None = None  # None before the first look
    pools: tuple[PoolState, ...] | None = None  # of file sets by ZFS; None before the first look


@dataclass(frozen=True, slots=True)
class Silence:
    """A site that could not be observed, since when it has not answered (unix seconds), and what it last said.

    set_up: False where its host answers and says that nothing is installed there yet.
    """

    site: str
    reason: str
    since: float | None = None
    last: SiteState | None = None
    set_up: bool = True


SiteView = SiteState | Silence
_ADAPTER: TypeAdapter[SiteState] | None = None


def to_json(state: SiteState) -> dict[str, Any]:
    """A document that ``from_json`` reads back."""
    return asdict(state)


def to_json_bytes(state: SiteState) -> bytes:
    """The same document, encoded; a tenth of the work, for what is said each second."""
    return _adapter().dump_json(state)


def from_json(document: Mapping[str, Any]) -> SiteState:
    """Raises pydantic.ValidationError on a document of another shape (another version's)."""
    return _adapter().validate_python(document, strict=False)


def _adapter() -> TypeAdapter[SiteState]:
    global _ADAPTER
    if _ADAPTER is None:  # building a validator costs milliseconds: only where one is needed
        _ADAPTER = TypeAdapter(SiteState)
    return _ADAPTER
