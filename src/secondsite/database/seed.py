"""The standby's data: copied from the primary when it has to be, left alone when it streams."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

from secondsite.clock import Clock, SystemClock
from secondsite.converge.resource import Change
from secondsite.database import basebackup, only_here, rewind, whole
from secondsite.database.cluster import Cluster
from secondsite.database.connect import local
from secondsite.database.control import answering, last_words
from secondsite.database.controldata import ControlData, read
from secondsite.database.facts import Facts, HostFacts
from secondsite.database.fence import marked_by_us
from secondsite.database.follow import SIGNAL, forget_overrides, is_cut, move, reset, signal
from secondsite.database.gather import existing, forks, size
from secondsite.database.job import JobState
from secondsite.database.logical import drop_left_over
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.parting import Forks
from secondsite.database.reload import reload
from secondsite.database.rewind_state import RewindState
from secondsite.database.situation import Act, DataFolder, Situation, decide
from secondsite.database.slot import drop_others
from secondsite.database.source import Source, peer
from secondsite.database.state import Role, Streaming
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit, Note
from secondsite.spec import Spec, paths

START_SECONDS = 300  # replay from the backup's start to consistency
STREAM_SECONDS = 60
POLL_SECONDS = 0.2
ROUNDS = 6  # attach, seed, swap, stream, and one to see that nothing is left
REWINDS = "the cluster on this host is stopped; what only it has is written down, and then overwritten"
STOPS = "the cluster on this host is stopped and its data moved aside"


@dataclass(frozen=True, slots=True)
class Standby:
    """This host's cluster as a streaming standby. replace: foreign data may be moved aside. source: whom it follows;
    the peer, where nobody else is named."""

    node: Node
    spec: Spec
    site: str
    facts: Facts
    replace: bool = False
    clock: Clock = field(default_factory=SystemClock)
    name: str = "standby database"
    source: Source | None = None

    async def plan(self) -> Change | None:
        """What has to happen, None where it streams. Raises FinalError where a person has to decide."""
        now = await self._look()
        act = self._decide(now)
        if act is Act.NOTHING:
            return None
        moves = now.data is not None and act in (Act.SEED, Act.RESEED, Act.SWAP)
        disrupts = REWINDS if act is Act.REWIND else STOPS if moves else None
        lost = await only_here.told(self.node, now) if act in (Act.REWIND, Act.SEED) else ""
        return Change(act.value, "; ".join(filter(None, (_sizes(now, act), lost))), disrupts)

    async def apply(self, change: Change, emit: Emit) -> None:
        """Go from act to act until the standby streams; a call after an interrupted one goes on where that stopped."""
        may_rewind = True
        for _ in range(ROUNDS):
            now = replace(await self._look(), may_rewind=may_rewind)
            match self._decide(now):
                case Act.NOTHING:
                    return
                case Act.REWIND:
                    may_rewind = await self._rewind(now, emit)
                case Act.SEED | Act.RESEED as act:
                    if act is Act.SEED and may_rewind:  # else the try to rewind it has, or has told why not
                        await self._keep_before_copy(now, emit)
                    if now.database.role is Role.STANDBY:  # it would come for the slot that the copy needs
                        await self.node.control.stop()
                    await basebackup.make(self.node, self._source, self.site, emit, self.clock)
                case Act.ATTACH:
                    await basebackup.wait(self.node, self.site, emit, self.clock)
                case Act.SWAP:
                    await self._swap(now, emit)
                    await self._stream(emit)
                case Act.START | Act.FOLLOW:
                    await self._follow()
                    await self._stream(emit)
        raise FinalError(
            f"the standby did not settle; the next act would be: {self._decide(now)}",
            slug="seed-failed",
            host=self.site,
        )

    def _decide(self, now: Situation) -> Act:
        return decide(now)

    @property
    def _source(self) -> Source:
        return self.source or peer(self.spec, self.site, self.facts, str(self.node.passfile))

    async def _look(self) -> Situation:
        seen = await look(self.node, self.facts.primary, address=self.facts.own_address, replace=self.replace)
        return seen if self._source.remote else replace(seen, quarantined=False)

    async def _swap(self, now: Situation, emit: Emit) -> None:
        """Make the copy a standby's, then exchange the folders: two renames, each safe to be interrupted after."""
        data, side = self.node.cluster.data.resolve(), basebackup.side_folder(self.node)
        await self.node.control.stop()
        forget_overrides(side)
        signal(side)
        if data.exists():
            stamp = self.clock.now().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
            aside = data.with_name(f"{data.name}.aside-{stamp}")
            move(data, aside)
            if now.data is not None:
                emit(Note(f"what was in {data} is now {aside}; remove it when you are sure", self.site, "warning"))
        move(side, data)
        rewind.forget(self.node)
        basebackup.mark(self.node).unlink(missing_ok=True)

    async def _rewind(self, now: Situation, emit: Emit) -> bool:
        """Whether the folder is now a standby's; where not, a copy is made instead and this says why."""
        try:
            if now.rewind is RewindState.NONE:
                complete = await only_here.keep(self.node, self.site, now, emit, self.clock)
                if not await self._keep_whole(emit) and not complete:
                    raise FinalError(
                        f"{only_here.DAMAGED}, so nothing is written over it", slug="wal-unreadable", step="rewind"
                    )
                await rewind.start(self.node, self.spec, self.site, self.facts)
            await rewind.wait(self.node, self.site, emit, self.clock)
            rewind.finish(self.node)
        except (SecondsiteError, OSError) as why:
            emit(Note(f"it cannot be rewound, so the primary is copied anew: {why}", self.site, "warning"))
            return False
        return True

    async def _keep_whole(self, emit: Emit) -> bool:
        """As a second net under the rewind, where it costs nothing. Whether all of it is kept."""
        kept = await whole.keep_whole(self.node.cluster.data.resolve(), self.clock)
        if kept is None:
            return False
        if kept.missing:
            left = ", ".join(map(str, kept.missing))
            text = f"of the old cluster what could be kept is in {kept}; not in it, on another disk: {left}"
        else:
            text = f"the whole old cluster is kept as {kept}; remove it when you are sure"
        emit(Note(text, self.site))
        return not kept.missing

    async def _keep_before_copy(self, now: Situation, emit: Emit) -> None:
        """The same, where no rewind is possible. What cannot be read is told, and does not block the way back."""
        if only_here.former_primary(now) is None:
            return
        try:
            await only_here.keep(self.node, self.site, now, emit, self.clock)
        except (SecondsiteError, OSError) as why:
            emit(Note(f"what only this host has could not be written down: {why}", self.site, "warning"))

    async def _follow(self) -> None:
        cluster = self.node.cluster
        if observe(cluster).role is Role.STANDBY:
            if is_cut(cluster.data):
                with local(cluster, step=self.name) as connection:
                    reset(connection)
                await reload(self.node, step=self.name)
        elif not self.node.running:
            forget_overrides(cluster.data)

    async def _stream(self, emit: Emit) -> None:
        """Start it where it is not running, and see it stream. Raises FinalError (``standby-not-streaming``)."""
        cluster = self.node.cluster
        await self.node.control.start()
        await answering(cluster, seconds=START_SECONDS)
        deadline = self.clock.monotonic() + STREAM_SECONDS
        state = observe(cluster)
        while state.streaming not in (Streaming.STREAMING, Streaming.CATCHING_UP, Streaming.PAUSED):
            if self.clock.monotonic() > deadline:
                raise FinalError(
                    f"the standby runs and does not stream from {self._source.name} after {STREAM_SECONDS} s:"
                    f" {last_words(cluster) or state.streaming}",
                    slug="standby-not-streaming",
                    host=self.site,
                    step=self.name,
                    hint=f"is the tunnel up? If it went its own way: secondsite apply --replace-standby {self.site}",
                )
            await self.clock.sleep(POLL_SECONDS)
            state = observe(cluster)
        with local(cluster, step=self.name) as connection:
            # pg_rewind leaves no slot behind, but nothing is rewound where a primary was stopped in good order.
            for name in (*drop_others(connection), *drop_left_over(connection)):
                emit(Note(f"removed the slot {name} of its time as primary", self.site))


async def look(node: Node, primary: HostFacts | None, *, address: str, replace: bool) -> Situation:
    """Observe everything ``decide`` depends on; ``address``: where the cluster will listen. Changes nothing."""
    cluster = node.cluster
    data = await _data_folder(cluster)
    copy = await _control(cluster, basebackup.side_folder(node)) if basebackup.is_complete(node) else None
    return Situation(
        version=cluster.version,
        primary=primary,
        database=observe(cluster),
        data=data,
        job_running=await _job_running(node),
        copy=copy,
        disk_free_bytes=_free(cluster.data),
        port_holder=None if node.running else _port_holder(cluster, address),
        blocked_tablespaces=tuple(path for path in (primary.tablespaces if primary else ()) if _holds(Path(path))),
        mount_point=os.path.ismount(cluster.data),
        replace=replace,
        quarantined=paths.QUARANTINE.exists(),
        rewind=await rewind.state(node),
    )


async def _data_folder(cluster: Cluster) -> DataFolder | None:
    folder = cluster.data
    if not folder.exists() or not any(folder.iterdir()):
        return None
    version = folder / "PG_VERSION"
    control = await _control(cluster, folder)
    written = control.modified_at if control else max(path.lstat().st_mtime for path in folder.iterdir())
    genuine = (folder / SIGNAL).exists() and not marked_by_us(cluster)
    return DataFolder(
        control=control,
        version=version.read_text().strip() if version.exists() else None,
        standby_signal=genuine,
        cut=is_cut(folder),
        bytes=0 if genuine else size(folder),  # only a person who is to give it up asks how much it is
        written_at=written,
        forks=_history(folder, control.generation) if control else None,
    )


def _history(folder: Path, timeline: int) -> Forks | None:
    """Each earlier timeline as the folder's own history file has it; the first has none, and no such file."""
    try:
        return forks([(folder / "pg_wal" / f"{timeline:08X}.history").read_text(errors="replace")])
    except FileNotFoundError:
        return () if timeline == 1 else None
    except (OSError, ValueError):
        return None


async def _control(cluster: Cluster, folder: Path) -> ControlData | None:
    try:
        return await read(cluster, folder)
    except SecondsiteError:
        return None


async def _job_running(node: Node) -> bool:
    try:
        return await node.seed_job.state() is JobState.RUNNING
    except SecondsiteError:
        return False


def _free(folder: Path) -> int:
    return shutil.disk_usage(existing(folder)).free


def _port_holder(cluster: Cluster, address: str) -> str | None:
    """Who listens on the cluster's port on this host while the cluster itself is stopped."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, cluster.port))
        except OSError as taken:
            if taken.errno == errno.EADDRINUSE:
                return f"another program on {address}:{cluster.port}"
    return None


def _holds(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _sizes(now: Situation, act: Act) -> str:
    if act not in (Act.SEED, Act.RESEED) or now.primary is None:
        return ""
    return f"{now.primary.data_bytes / 1e6:.0f} MB to copy, {now.disk_free_bytes / 1e9:.1f} GB free"
