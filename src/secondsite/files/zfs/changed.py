"""How many files the rounds have changed at the copy: whoever encrypts files rewrites or renames many at once.

A stream of ZFS tells bytes, and one upload has as many as a thousand encrypted files. So files are counted, in clones
of two snapshots of the copy (look.py; `zfs diff` is not in every ZFS): the last that was counted, and the newest. That
reads both trees. It is done only where the bytes that came could be of as many files as would matter, and rests then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondsite.errors import SecondsiteError
from secondsite.files.budget import Stopped, alarm, allowed_changes, counted
from secondsite.files.lately import MOST_PATHS, Lately
from secondsite.files.store import Heads, Record
from secondsite.files.zfs import look
from secondsite.files.zfs.host import Host
from secondsite.files.zfs.look import Look
from secondsite.files.zfs.model import Snapshot, Tree

RECORD_BYTES = 312  # of one record of a send stream (dmu_replay_record_t, zfs_ioctl.h); a changed file has one at least
FEW_SECONDS = 600.0  # between two counts of a copy that has not files enough for an alarm: more may have come since
RESTS = 20  # times as long as a count took, nothing is counted
FAILED_SECONDS = 60.0  # as if that long it had taken, where it failed
EDGE_BYTES = 65536  # of each end of a file: what is encrypted differs there
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Changes:
    """before, after: files in either snapshot. rewritten: files of both, with another content now; paths: of these, as
    many as can be remembered. gone: removed, or renamed."""

    before: int
    after: int
    rewritten: int
    gone: int
    paths: tuple[bytes, ...] = ()


def heads(tree: Tree | None) -> Heads:
    """Pure: of each dataset that the source has its newest snapshot's guid."""
    each = tree.datasets if tree is not None else ()
    return tuple((one.path, one.newest.guid) for one in each if one.newest is not None and not one.gone)


def due(record: Record, *, uncounted: int, sure: bool, now: float, max_change: float) -> bool:
    """Pure: whether the files have to be counted. uncounted: bytes that came since. sure: nothing else came, of which
    a process that died could not tell."""
    most = allowed_changes(record.window, now, entries=record.entries or 1, max_change=max_change)
    rests = RESTS * record.count_seconds
    if most is not None and record.entries is not None and record.entries <= most:
        rests = max(rests, FEW_SECONDS)
    if most is None or 0 <= now - record.counted_at < rests:
        return False
    return not sure or uncounted >= max(1, RECORD_BYTES * most)


@dataclass(slots=True)
class Counting:
    """Of one round. record: as it was when the round began, and with ``judge`` as it is to be. problem: why nothing
    could be counted, though it was due."""

    host: Host
    store: Path
    max_change: float
    record: Record
    problem: str | None = None
    lately: Lately = field(default_factory=Lately)
    _sure: bool = field(default=False)

    def begin(self, target: Tree | None) -> None:
        """Before anything is received."""
        self._sure = heads(target) == self.record.reached

    def came(self, size: int) -> None:
        """So many bytes, whatever becomes of the round."""
        self.record = replace(self.record, uncounted=self.record.uncounted + size)

    async def judge(self, target: Tree) -> Stopped | None:
        """Everything is here: why the copy must go no further before a person has looked; None where it may."""
        record, now = replace(self.record, reached=heads(target)), time.time()
        if not record.counted or self.max_change >= 1:
            self.record = replace(record, counted=record.reached, uncounted=0, entries=None)
            return None
        self.record = record
        if not due(record, uncounted=record.uncounted, sure=self._sure, now=now, max_change=self.max_change):
            if not self._sure:  # it rests, and the next round is sure of what came behind this one
                self.record = replace(record, reached=())
            return None
        began = time.monotonic()
        try:
            found = await count(self.host, self.store, target, bases(target, record.counted))
        except (SecondsiteError, OSError) as failed:
            self.problem = failed.message if isinstance(failed, SecondsiteError) else str(failed)
            self.record = replace(record, counted_at=now, count_seconds=FAILED_SECONDS)
            return None
        rewritten = found.rewritten - len(found.paths) + len(self.lately.counting(found.paths, now))
        self.lately.rewritten.add(found.paths, now)
        stopped = alarm(
            record.window,
            now,
            entries=found.before,
            deleted=found.gone,
            rewritten=rewritten,
            max_delete=1.0,  # nothing is lost by a deletion: the snapshots have it
            max_change=self.max_change,
        )
        seconds = time.monotonic() - began
        record = replace(record, entries=found.after, counted_at=now, count_seconds=seconds, uncounted=0)
        self.record = replace(
            record,
            counted=record.counted if stopped is not None else record.reached,
            window=counted(record.window, now, deleted=found.gone, rewritten=rewritten),
        )
        return stopped

    def keeps(self) -> frozenset[int]:
        """Guids of snapshots that stay: with them the newest ones will be compared."""
        return frozenset(guid for _, guid in self.record.counted)


def bases(target: Tree, marks: Heads) -> Mapping[str, Snapshot]:
    """Pure: by dataset the snapshot that was counted last; none where it is not here any more, or was none."""
    known = dict(marks)
    here = ((each.path, one) for each in target.datasets if not each.gone for one in each.snapshots)
    return {path: one for path, one in here if one.guid == known.get(path)}


async def count(host: Host, store: Path, target: Tree, since: Mapping[str, Snapshot]) -> Changes:
    """What differs between these snapshots and the newest. Raises SecondsiteError, OSError."""
    if "" not in since:
        return Changes(0, 0, 0, 0)
    newest = {each.path: each.newest.name for each in target.datasets if each.newest and each.path in since}
    looks: list[Look] = []
    stop = threading.Event()
    try:
        for names in ({path: one.name for path, one in since.items()}, newest):
            looks.append(await look.begin(host, store, target, names))
        old, new = (host.root / one.folder.lstrip("/") for one in looks)
        comparing = asyncio.ensure_future(asyncio.to_thread(compared, old, new, stop, since[""].created))
        try:
            found = await asyncio.shield(comparing)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([comparing])
            raise
    except asyncio.CancelledError:
        for one in looks:
            look.lent(one)  # a failover waits for this; whoever looks next removes them
        raise
    except BaseException:
        for one in looks:
            with contextlib.suppress(SecondsiteError):
                await look.end(host, one)
        raise
    for one in looks:
        with contextlib.suppress(SecondsiteError):  # then it goes by the next round
            await look.end(host, one)
    return found


def compared(old: Path, new: Path, stop: threading.Event, since: int) -> Changes:
    """By path, so that little is remembered of a file. since: when the snapshot was made (unix seconds, the source's
    clock, as the times of its files). Raises OSError."""

    def unreadable(failed: OSError) -> None:
        raise failed  # else what is in that folder would count as gone

    before, after, both, rewritten, paths = _files(old, stop), 0, 0, 0, list[bytes]()
    for folder, _, names, handle in os.fwalk(new, onerror=unreadable, follow_symlinks=False):
        beneath = os.path.relpath(folder, new)
        try:
            was = os.open(old / beneath, DIRECTORY)
        except OSError:
            was = None  # there was no such folder
        try:
            for name in names:
                if stop.is_set():
                    return Changes(0, 0, 0, 0)
                now = os.stat(name, dir_fd=handle, follow_symlinks=False)
                if not stat.S_ISREG(now.st_mode):
                    continue
                after += 1
                then = _stat(name, was) if was is not None else None
                if then is not None and was is not None:
                    both += 1
                    if _rewritten(name, was, then, handle, now, since):
                        rewritten += 1
                        if rewritten <= MOST_PATHS:
                            paths.append(os.fsencode(os.path.join(beneath, name)))  # noqa: PTH118
        finally:
            if was is not None:
                os.close(was)
    return Changes(before, after, rewritten, max(0, before - both), tuple(paths))


def _files(folder: Path, stop: threading.Event) -> int:
    found, waiting = 0, [os.fspath(folder)]
    while waiting and not stop.is_set():
        with os.scandir(waiting.pop()) as entries:
            for one in entries:
                if stop.is_set():
                    break
                if one.is_dir(follow_symlinks=False):
                    waiting.append(one.path)
                else:
                    found += one.is_file(follow_symlinks=False)
    return found


def _stat(name: str, folder: int) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _rewritten(name: str, old: int, then: os.stat_result, new: int, now: os.stat_result, since: int) -> bool:
    """Who encrypts files may give them their times back; only the time of the change itself is the system's. Where that
    is of whole seconds, as on zfs-fuse, one of the snapshot's own second says nothing."""
    sure = now.st_ctime_ns % 10**9 != 0 or now.st_ctime_ns // 10**9 < since - 1
    if (then.st_ino, then.st_ctime_ns, then.st_mtime_ns, then.st_size) == (
        now.st_ino, now.st_ctime_ns, now.st_mtime_ns, now.st_size,
    ):  # fmt: skip
        return not sure and _edges(name, old, then.st_size) != _edges(name, new, now.st_size)
    if (then.st_size, then.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
        return True
    return _edges(name, old, then.st_size) != _edges(name, new, now.st_size)


def _edges(name: str, folder: int, size: int) -> bytes:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.pread(handle, EDGE_BYTES, 0) + os.pread(handle, EDGE_BYTES, max(0, size - EDGE_BYTES))
    finally:
        os.close(handle)
