"""How far each replica is behind. What is not known is None, and silence only ever makes a lag grow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.files.state import FileSetState, FilesStatus
from secondsite.objectives.silence import CLOCK_ERROR, heard_at
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import SiteState
from secondsite.objectives.synchronous import synchronous, was_synchronous

DATABASE = "database"
FRESH = 3.0  # seconds: what the receiver was told this recently is the primary's position


class Kind(StrEnum):
    """What a replica holds."""

    DATABASE = "database"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Lag:
    """One replica. newest_at: the primary's moment up to which everything is surely at the standby.

    unseen_seconds: the part of ``seconds`` that passed since the primary was last heard; 0 while it answers.
    synchronous: whatever the primary has acknowledged is at the standby, however old the last heartbeat here is;
    was_synchronous: it was so when the primary was last heard.
    held_back: deletions in a file set that wait for a person.
    copy: what its site says of the copy of a file set; None of anything else, and where it does not answer.
    """

    replica: str
    kind: Kind
    site: str | None
    state: str
    seconds: float | None = None
    bytes: int | None = None
    files: int | None = None
    newest_at: float | None = None
    unseen_seconds: float = 0.0
    synchronous: bool = False
    was_synchronous: bool = False
    reason: str | None = None
    held_back: int | None = None
    copy: FileSetState | None = None


def lags(situation: Situation) -> tuple[Lag, ...]:
    """Every replica that the file names, the database first."""
    sets = tuple(_files(situation, fileset.name) for fileset in situation.spec.files)
    return (_database(situation), *sets)


def _database(situation: Situation) -> Lag:
    site = situation.standby
    state = situation.last(site) if site else None
    if site is None or state is None:
        return Lag(DATABASE, Kind.DATABASE, site, Streaming.UNKNOWN, reason=_why_unknown(situation, site))
    present = situation.present(site) is not None
    database = state.database
    shown = database_state(database) if present else Streaming.UNKNOWN
    newest = newest_moment(state)
    return Lag(
        DATABASE,
        Kind.DATABASE,
        site,
        shown,
        seconds=_age(situation, newest, receiving=shown in (Streaming.STREAMING, Streaming.CATCHING_UP)),
        bytes=_bytes_behind(situation, state),
        newest_at=newest,
        unseen_seconds=unseen(situation),
        synchronous=synchronous(situation),
        was_synchronous=was_synchronous(situation),
        reason=None if present else _why_unknown(situation, site),
    )


def database_state(database: DatabaseState) -> Streaming:
    """How a cluster that should be a standby receives."""
    if database.role is Role.STANDBY:
        return database.streaming
    return Streaming.STOPPED if database.role in (Role.STOPPED, Role.ABSENT) else Streaming.UNKNOWN


def newest_moment(state: SiteState) -> float | None:
    """The primary's moment up to which a standby surely has everything: heard by heartbeat, or by its receiver."""
    database = state.database
    moments = [database.heartbeat_at]
    reached, told = database.reached, database.primary_flushed
    if reached is not None and told is not None and reached >= told:
        moments.append(database.primary_told_at)
    known = [moment for moment in moments if moment is not None]
    if not known and database.role is not Role.STANDBY:
        known = [s.at - s.seconds for s in state.samples if s.replica == DATABASE and s.seconds is not None]
    return max(known, default=None)


def unseen(situation: Situation) -> float:
    """Seconds since the primary was last heard by its standby; 0 while it answers, or where nothing is remembered."""
    if situation.primary is None or situation.standby is None or situation.present(situation.primary) is not None:
        return 0.0
    standby = situation.present(situation.standby)
    if standby is None or standby.last_primary is None:
        return 0.0
    database = standby.database
    heard = heard_at(standby.last_primary, database.primary_told_at, standby.taken_at, beat_here=database.heartbeat_at)
    return 0.0 if heard is None else standby.taken_at - heard


def _age(situation: Situation, newest: float | None, *, receiving: bool) -> float | None:
    now = situation.primary_now
    if now is None or newest is None or newest - now > CLOCK_ERROR:
        return None
    age = max(0.0, now - newest)
    return age if receiving or age > 0 else None


def _bytes_behind(situation: Situation, state: SiteState) -> int | None:
    """The primary's furthest known position minus the standby's; two moments are never subtracted while both move."""
    reached = state.database.reached
    if reached is None:
        return None
    told, last = state.database.primary_flushed, state.last_primary
    known = [told, last.flushed if last else None]
    primary = situation.present(situation.primary) if situation.primary else None
    fresh = state.database.primary_told_at is not None and _seconds_since_told(situation, state) < FRESH
    if primary is not None and not (fresh and state.database.streaming is Streaming.STREAMING):
        known.append(primary.database.flushed)
    positions = [position for position in known if position is not None]
    return max(0, max(positions) - reached) if positions else None


def _seconds_since_told(situation: Situation, state: SiteState) -> float:
    now, told = situation.primary_now, state.database.primary_told_at
    return now - told if now is not None and told is not None else float("inf")


def _files(situation: Situation, name: str) -> Lag:
    site = situation.standby
    state = situation.last(site) if site else None
    copy = next((fileset for fileset in state.files if fileset.name == name), None) if state else None
    if site is None or copy is None:
        return Lag(name, Kind.FILES, site, FilesStatus.UNKNOWN, reason=_why_unknown(situation, site))
    present = situation.present(site) is not None
    return Lag(
        name,
        Kind.FILES,
        site,
        copy.status if present and copy.status is not FilesStatus.SOURCE else FilesStatus.UNKNOWN,
        seconds=_age(situation, copy.complete_at, receiving=_pulls(copy)),
        bytes=copy.pending_bytes,
        files=copy.pending_files,
        newest_at=copy.complete_at,
        unseen_seconds=unseen(situation),
        reason=copy.reason if present else _why_unknown(situation, site),
        held_back=copy.held_back,
        copy=copy if present else None,
    )


def _pulls(copy: FileSetState) -> bool:
    return copy.status in (FilesStatus.CURRENT, FilesStatus.PULLING)


def _why_unknown(situation: Situation, site: str | None) -> str:
    if site is None:
        return "no site is known to be primary"
    silence = situation.silence(site)
    return f"{site} does not answer: {silence.reason}" if silence else f"{site} has not reported it yet"
