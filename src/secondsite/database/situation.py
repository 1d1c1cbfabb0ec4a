"""What stands where the standby's data belongs, and what that calls for: a frozen look and a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from secondsite.database.controldata import ControlData
from secondsite.database.facts import HostFacts
from secondsite.database.parting import Forks
from secondsite.database.rewind_state import RewindState
from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.errors import FinalError

MARGIN_BYTES = 2**30
MARGIN_SHARE = 1.1
REWIND_SINCE = 15  # pg_rewind --config-file: Debian keeps the configuration outside the data folder


class Act(StrEnum):
    """What has to happen next; NOTHING where the standby streams."""

    NOTHING = "nothing"
    START = "start the standby and wait until it streams"
    FOLLOW = "follow the primary again (it was cut off) and wait until it streams"
    ATTACH = "wait for the base backup that is running"
    REWIND = "go back to where the timelines parted and follow the new primary (pg_rewind)"
    SWAP = "put the finished base backup in place and start it"
    SEED = "copy the primary's cluster here (base backup)"
    RESEED = "copy the primary's cluster again: the WAL this standby needs is gone"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The data folder as found. control: None where its control file cannot be read. bytes, written_at: for the
    message to a person; unix seconds. forks: each earlier timeline and where it was left; None where its own history
    cannot be read."""

    control: ControlData | None
    version: str | None
    standby_signal: bool
    cut: bool = False
    bytes: int = 0
    written_at: float | None = None
    forks: Forks | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the decision depends on. data: None where there is no folder or an empty one.

    copy: control data of a finished side folder. port_holder: who else has the port. blocked_tablespaces: the
    primary's tablespace folders that hold something here.
    """

    version: str
    primary: HostFacts | None
    database: DatabaseState
    data: DataFolder | None = None
    job_running: bool = False
    copy: ControlData | None = None
    disk_free_bytes: int = 0
    port_holder: str | None = None
    blocked_tablespaces: tuple[str, ...] = ()
    mount_point: bool = False  # the data folder is one, so it cannot be exchanged by renaming
    replace: bool = False
    quarantined: bool = False
    rewind: RewindState = RewindState.NONE
    may_rewind: bool = True  # False where it was tried in this run and could not be done


def decide(now: Situation) -> Act:
    """The next act. Raises FinalError where a person has to decide; nothing was changed then."""
    if now.job_running:
        return Act.ATTACH
    if now.rewind in (RewindState.RUNNING, RewindState.DONE):
        return Act.REWIND
    if now.data is not None and _is_standby_of_primary(now, now.data):
        act = _standby(now, now.data)
        if act is not Act.RESEED:
            return act
    elif now.data is not None:
        _refuse_foreign(now, now.data)
        if _can_rewind(now, now.data):
            return Act.REWIND
    if now.primary is None:
        raise FinalError(
            "the primary's facts are unknown, so nothing can be copied from it", slug="primary-unknown", step="seed"
        )
    if _copy_is_good(now, now.primary):
        return Act.SWAP
    _refuse_seed(now, now.primary)
    return Act.RESEED if now.data is not None and _is_standby_of_primary(now, now.data) else Act.SEED


def _is_standby_of_primary(now: Situation, data: DataFolder) -> bool:
    if data.control is None or not data.standby_signal:
        return False
    return now.primary is None or data.control.system_identifier == now.primary.system_identifier


def _standby(now: Situation, data: DataFolder) -> Act:
    if now.quarantined:
        raise FinalError(
            "this site has cut off its peer, so it will not follow it",
            slug="peer-quarantined",
            step="seed",
            hint="finish the failover first: secondsite status names the command",
        )
    flows = now.database.streaming in (Streaming.STREAMING, Streaming.CATCHING_UP, Streaming.PAUSED)
    if now.database.role is Role.STANDBY and flows:
        return Act.NOTHING
    if data.control is not None and now.primary is not None and now.primary.oldest_wal is not None:
        needed = max(data.control.redo_lsn, now.database.replayed or 0)
        if needed < now.primary.oldest_wal:
            return Act.RESEED
    return Act.FOLLOW if data.cut else Act.START


def _can_rewind(now: Situation, data: DataFolder) -> bool:
    """A former primary that a person has given up, of a kind that pg_rewind understands (its manual page)."""
    primary, control = now.primary, data.control
    return (
        now.may_rewind
        and now.replace
        and now.rewind is RewindState.NONE
        and primary is not None
        and control is not None
        and control.system_identifier == primary.system_identifier
        and (control.wal_log_hints or control.checksums)
        and any(timeline == control.generation for timeline, _ in primary.forks)
        and int(now.version) >= REWIND_SINCE
    )


def _copy_is_good(now: Situation, primary: HostFacts) -> bool:
    copy = now.copy
    return (
        copy is not None
        and copy.system_identifier == primary.system_identifier
        and (primary.oldest_wal is None or copy.redo_lsn >= primary.oldest_wal)
    )


def _refuse_foreign(now: Situation, data: DataFolder) -> None:
    primary = now.primary
    same = data.control and primary and data.control.system_identifier == primary.system_identifier
    if now.database.role is Role.PRIMARY and same:
        raise FinalError(
            "this site and its peer are both primary of the same database; nothing is replaced before one is fenced",
            slug="two-primaries",
            step="seed",
            hint="secondsite status",
        )
    if now.replace or _pristine(data, primary):
        return
    raise FinalError(
        f"the data folder holds something that is not a standby of this primary: {describe(data, primary)}",
        slug="foreign-data-directory",
        step="seed",
        hint="secondsite apply --replace-standby SITE keeps what only it has, and gives up the rest",
    )


def _pristine(data: DataFolder, primary: HostFacts | None) -> bool:
    """Another cluster in which nobody ever made anything: what a package's installation leaves."""
    if data.control is None or primary is None or data.control.system_identifier == primary.system_identifier:
        return False
    return data.control.untouched


def describe(data: DataFolder, primary: HostFacts | None) -> str:
    """What the folder is, for a person: whose, version, role at its last run, size, last write."""
    when = datetime.fromtimestamp(data.written_at, UTC).strftime("%Y-%m-%d %H:%M UTC") if data.written_at else "unknown"
    tail = f"{data.bytes / 1e6:.0f} MB, last written {when}"
    if data.control is None:
        return f"no readable cluster (version {data.version or 'unknown'}), {tail}"
    same = primary is not None and primary.system_identifier == data.control.system_identifier
    whose = "a former primary or an independent copy of the same database" if same else "another database"
    last = "standby" if data.control.was_standby else "primary"
    return (
        f"{whose}, system identifier {data.control.system_identifier}, version {data.version}, timeline"
        f" {data.control.generation}, {last} at its last run (state: {data.control.state}), {tail}"
    )


def _refuse_seed(now: Situation, primary: HostFacts) -> None:
    majors = primary.settings.get("server_version", now.version).split(".")[0].split()[0]
    if majors != now.version:
        raise FinalError(
            f"the primary runs PostgreSQL {majors}, the file says {now.version}", slug="version-mismatch", step="seed"
        )
    if now.port_holder is not None:
        raise FinalError(
            f"the cluster's port is taken here by {now.port_holder}",
            slug="port-taken",
            step="seed",
            hint="stop it or give it another port",
        )
    if now.mount_point:
        raise FinalError(
            "the data folder is a mount point, so a finished copy could not be put in its place",
            slug="data-is-mount-point",
            step="seed",
            hint="mount the file system one level higher, at /var/lib/postgresql",
        )
    if now.blocked_tablespaces:
        raise FinalError(
            f"the primary's tablespaces need empty folders here: {', '.join(now.blocked_tablespaces)}",
            slug="tablespace-taken",
            step="seed",
            hint="move what is in them away",
        )
    need = int(primary.data_bytes * MARGIN_SHARE) + MARGIN_BYTES
    if now.disk_free_bytes < need:
        raise FinalError(
            f"the copy needs {need / 1e9:.1f} GB (the primary has {primary.data_bytes / 1e9:.1f} GB), and"
            f" {now.disk_free_bytes / 1e9:.1f} GB are free",
            slug="disk-too-small",
            step="seed",
            hint="free some space; folders ending in .aside-* next to the data folder were moved there by earlier runs",
        )
