"""Mirroring by ZFS snapshots, behind the port of files/engine.py."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.events import Emit, Note, ignore
from secondsite.files import lately, parting
from secondsite.files import store as records
from secondsite.files.bandwidth import limit_of
from secondsite.files.observe import state_of
from secondsite.files.offer.seal import TokenFile
from secondsite.files.rsync.pull import PullResult
from secondsite.files.rsync.verify import Verification
from secondsite.files.state import FileSetState
from secondsite.files.store import PULLED, SOURCE, STORE, Held, Record, locked
from secondsite.files.takeover import take_over, unless
from secondsite.files.versions import state
from secondsite.files.versions.retention import Rule
from secondsite.files.versions.state import Looked
from secondsite.files.zfs import ask, beside, look, lost, plan
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.changed import Counting
from secondsite.files.zfs.host import HERE, Host
from secondsite.files.zfs.model import Tree
from secondsite.files.zfs.round import Round
from secondsite.files.zfs.versions import complete
from secondsite.spec import FileSet, paths, retention

PORT = 7435
TOLD_SECONDS = 60.0  # after which it is said again that versions were looked at
_BY_RULE = ("zfs-no-dataset", "zfs-not-original", "zfs-refused", "zfs-pool-root")  # a person has to look


left_here: dict[tuple[str, Path], Tree] = {}  # what the last round of a set has left here, where it was complete


class Zfs:
    """A round a pull. The copy is unmounted and read-only until it becomes the original."""

    def __init__(
        self, fileset: FileSet, store: Path = STORE, *, host: Host | None = None, door: Door | None = None
    ) -> None:
        self.fileset = fileset
        self.store = store
        self.host = host or HERE
        self._door = door

    async def observe(self, *, standby: bool) -> FileSetState:
        return state_of(self.fileset, self._record(), now=time.time(), standby=standby)

    def lag(self, *, now: float) -> float | None:
        complete_at = self._record().complete_at
        return None if complete_at is None or complete_at > now else now - complete_at

    async def seed(self, source: str, port: int, *, timeout: float, emit: Emit) -> PullResult:
        return await self.pull(source, port, timeout=timeout, emit=emit)

    async def pull(self, source: str, port: int, *, timeout: float, emit: Emit = ignore) -> PullResult:
        """A round; what it could not do is a result. Raises FinalError (``files-are-source``), RetryableError
        (``files-busy``)."""
        name, deadline = self.fileset.name, time.monotonic() + timeout
        async with locked(name, seconds=timeout, store=self.store) as held:
            record = self._record()
            if record.role == SOURCE:
                raise FinalError(
                    f"the file set {name} is the original here; nothing may be received over it",
                    slug="files-are-source",
                    step="pull files",
                    hint="secondsite apply --replace-standby SITE makes it the copy again",
                )
            started, clock = time.time(), time.monotonic()
            if record.alarm is not None and record.allow_deletions:  # what has come is agreed to, whatever it changes
                record = replace(record, alarm=None, allow_deletions=False, window=(), counted=())
                lately.of(name, self.store).clear()
            work = await self._round(record, self._at(source), deadline, emit, held)
            if record.alarm is not None:
                complete, blocked, reason = False, True, record.reason
            else:
                complete, blocked, reason = await _carried_out(work, self.store)
            result = PullResult(
                files=0,
                bytes=work.bytes,
                deleted=0,
                seconds=time.monotonic() - clock,
                started_at=started,
                complete=complete,
                reason=reason,
                blocked=blocked,
                held_back=_held_back(record, work),
            )
            if self._record().role != SOURCE:  # promoted meanwhile: its word counts
                records.save(name, _after(record, work, result), self.store)
        # As long as its files are many: not under the lock that a failover waits for.
        told = await lost.tell(self.host, self.fileset, work.root, self.store, emit)
        if complete and work.here is not None:
            left_here[name, self.store] = work.here
        if complete:
            if told:
                parting.forget(name, self.store)
            self._tell_versions(work.here)
        if work.problem is not None:
            emit(Note(f"{name}: a snapshot could not be removed: {work.problem}", level="warning"))
        return result

    def _tell_versions(self, here: Tree | None) -> None:
        """For status: how many snapshots are versions, and from when the newest is. Each round makes one where anything
        was written, so that none is overdue as long as rounds are complete."""
        if here is None or self.fileset.versions is None:
            return
        kept, now, before = complete(here), time.time(), state.load(self.fileset.name, self.store)
        newest = float(kept[-1][0].created) if kept else None
        told = (before.count, before.newest_at, before.problem) == (len(kept), newest, None)
        if not told or before.looked_at is None or abs(now - before.looked_at) > TOLD_SECONDS:
            state.save(self.fileset.name, Looked(now, now, None, len(kept), newest), self.store)

    async def _round(self, record: Record, door: Door, deadline: float, emit: Emit, held: Held) -> Round:
        root = record.dataset or await self.host.dataset_at(str(self.fileset.path))
        await look.sweep(self.host, self.store)  # a clone that somebody who died has left keeps its snapshot
        if root is None:
            raise FinalError(
                f"{self.fileset.path} is no dataset's mount point here",
                slug="zfs-no-dataset",
                step="pull files",
                hint=f"zfs create -o mountpoint={self.fileset.path} POOL/{self.fileset.name}",
            )
        if record.dataset is None:
            records.save(self.fileset.name, replace(record, dataset=root, engine="zfs"), self.store)
        begun = record if record.settled else replace(record, counted=())  # what was here before is no copy's change
        return Round(
            self.host,
            door,
            self.fileset.name,
            str(self.fileset.path),
            root,
            deadline,
            emit,
            held,
            agreed=record.allow_deletions or not record.settled,
            rules=rules(self.fileset),
            bandwidth=limit_of(self.fileset, self.store).bytes_per_second,
            counting=Counting(
                self.host,
                self.store,
                self.fileset.max_change,
                begun,
                lately=lately.of(self.fileset.name, self.store),
            ),
            going=lambda dataset, since: lost.remember(self.fileset.name, dataset, since, self.store),
            known=left_here.pop((self.fileset.name, self.store), None),
        )

    async def verify(self, source: str, port: int, *, timeout: float) -> Verification:
        """Every block is under a checksum that ZFS checks when it is read and when it is received. So what is asked
        here is whether the newest common snapshots are the same ones, and whether the pool knows of damage.

        ``files`` counts datasets. Raises RetryableError, FinalError.
        """
        began = time.monotonic()
        record = self._record()
        tree = await self.host.tree(record.dataset) if record.dataset is not None else None
        if tree is None:
            raise FinalError("there is no copy yet", slug="zfs-no-dataset", step="verify files")
        answer = await ask.listing(
            self._at(source), self.fileset.name
        )  # a round's snapshots and holds stay as they are
        differing = [each.path or tree.root for each in answer.tree.datasets if not _same(each.path, answer.tree, tree)]
        damaged = await self._damage(tree.root.partition("/")[0])
        return Verification(
            len(answer.tree.datasets), len(differing) + len(damaged), (*differing, *damaged), time.monotonic() - began
        )

    async def _damage(self, pool: str) -> tuple[str, ...]:
        said = (await self.host.run("zpool", "status", "-v", pool, check=False)).stdout
        _, _, told = said.partition("errors:")
        known = "No known data errors" in told
        return () if known else (f"pool {pool}: {' '.join(told.split())[:200] or 'its state cannot be read'}",)

    async def promote(self) -> None:
        """End a receive, make the copy writable and mount it where the application looks."""
        await take_over(self.fileset.name, self.store, whole=True)
        record = self._record()
        root = record.dataset or await self.host.dataset_at(str(self.fileset.path))
        tree = await beside.finish_swap(self.host, root, str(self.fileset.path)) if root is not None else None
        if tree is None:
            raise FinalError(
                f"the dataset of {self.fileset.name} is not here",
                slug="zfs-no-dataset",
                step="files-writable",
                hint="zfs list -t all",
            )
        await beside.open_up(self.host, tree, str(self.fileset.path))

    async def demote(self) -> None:
        """Nobody writes to it any more, where that can be had at once; the next pull insists on it."""
        name, store = self.fileset.name, self.store
        record = records.load(name, store)
        if record.role != SOURCE:
            return
        fresh = replace(record, role=PULLED, settled=False, complete_at=None, outcome=None, reason=None)
        fresh = replace(fresh, confirmed_at=None, alarm=None, window=(), counted=())
        records.save(name, replace(fresh, held_back=None, allow_deletions=False), store)
        tree = await self.host.tree(record.dataset) if record.dataset is not None else None
        if tree is not None:
            try:
                await beside.retire(self.host, tree)
            except RetryableError:
                return  # somebody has a file open; the pull says so for as long as it lasts

    def _record(self) -> Record:
        return records.load(self.fileset.name, self.store)

    def _at(self, source: str) -> Door:
        return self._door or Door(source, PORT, TokenFile(paths.PEER_TOKEN))


def rules(fileset: FileSet) -> Sequence[Rule]:
    """What of our snapshots is kept."""
    return retention.parse(fileset.versions) if fileset.versions is not None else ()


async def _carried_out(work: Round, store: Path) -> tuple[bool, bool, str | None]:
    """(complete, blocked, why not)."""
    try:
        complete = await unless(work.carry_out(), work.fileset, store)
    except SecondsiteError as failed:
        return False, failed.slug in _BY_RULE, failed.message
    return complete, work.blocked is not None, work.blocked


def _same(path: str, there: Tree, here: Tree) -> bool:
    source, target = there.get(path), here.get(path)
    if source is None or target is None:
        return False
    common = plan.base(source, target)
    return common is not None and not plan.modified(target, common[1])


def _held_back(record: Record, work: Round) -> int | None:
    if record.alarm is not None:
        return record.held_back
    return work.alarm.held_back if work.alarm is not None else work.parted or None


def _after(record: Record, work: Round, result: PullResult) -> Record:
    if work.counting is not None:
        record = work.counting.record
    if work.alarm is not None:
        record = replace(record, alarm=work.alarm.alarm.value)
    outcome = "complete" if result.complete else "blocked" if result.blocked else "failed"
    record = replace(
        record,
        role=PULLED,
        engine="zfs",
        dataset=work.root,
        last_attempt_at=result.started_at,
        outcome=outcome,
        reason=result.reason,
    )
    if result.blocked:
        return replace(record, held_back=result.held_back, allow_deletions=False)
    if not result.complete:
        return record
    return replace(
        record,
        complete_at=work.at,
        confirmed_at=result.started_at,
        seconds=result.seconds,
        settled=True,
        allow_deletions=False,
        held_back=None,
    )
