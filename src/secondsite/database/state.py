"""What a database cluster is at one moment, as plain frozen data. Positions are bytes (``lsn``), never text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a cluster is now, observed."""

    PRIMARY = "primary"  # accepts writes
    STANDBY = "standby"  # in recovery
    STOPPED = "stopped"  # there, but no postmaster
    ABSENT = "absent"  # no such cluster on the host
    UNKNOWN = "unknown"  # could not be observed


class Streaming(StrEnum):
    """How a standby receives. A link that is down is a state, never lag 0."""

    STREAMING = "streaming"
    CATCHING_UP = "catching-up"
    RECEIVER_DOWN = "receiver-down"
    PAUSED = "paused"  # receives, but replay is paused
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SlotState:
    """A replication slot as pg_replication_slots shows it (manual 54.19)."""

    name: str
    active: bool
    wal_status: str | None
    safe_wal_bytes: int | None


@dataclass(frozen=True, slots=True)
class Follower:
    """A standby as pg_stat_replication shows it at its primary (manual 28.2.4). name: its application_name.

    flushed: how far its disk has come, in bytes. replied_at: its last answer, unix seconds of its own clock.
    """

    name: str
    state: str
    sync_state: str
    flushed: int | None = None
    replied_at: float | None = None


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """A cluster at one moment. Times are unix seconds; positions bytes of WAL since the beginning.

    timeline: the cluster's own; the generation of the service. flushed: primary only. received, replayed: standby
    only; ``received`` may stand behind ``replayed`` after a restart, so use ``reached``.
    heartbeat_at: the newest heartbeat row visible here (its writer's clock).
    primary_flushed: what the primary last told the receiver (latest_end_lsn), and when.
    followers: who receives from this cluster.
    """

    role: Role
    system_identifier: str | None = None
    timeline: int | None = None
    flushed: int | None = None
    received: int | None = None
    replayed: int | None = None
    streaming: Streaming = Streaming.UNKNOWN
    sender_host: str | None = None
    replay_paused: bool = False
    last_transaction_at: float | None = None
    heartbeat_at: float | None = None
    primary_flushed: int | None = None
    primary_told_at: float | None = None
    slots: tuple[SlotState, ...] = ()
    followers: tuple[Follower, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    started_at: float | None = None
    reason: str | None = None  # why unknown, stopped or held read-only

    @property
    def reached(self) -> int | None:
        """How far a standby has come: whatever it has either received or replayed."""
        known = [lsn for lsn in (self.received, self.replayed) if lsn is not None]
        return max(known) if known else None

    @property
    def writable(self) -> bool:
        return self.role is Role.PRIMARY
