"""What is dirty: every path of a set that was changed and of which the standby has not said yet that it has it.

The journal outlives the process that keeps it, not the machine: after a power cut the kernel's own queue of changes is
lost too, so the sets are compared in full anyway. It therefore lies where a boot clears it, and nothing waits for a
disk (docs/adr/0016-watching.md). Whatever cannot be trusted makes a new epoch, never a shorter list.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from secondsite.files.watch import tape
from secondsite.files.watch.tape import ACKNOWLEDGED, DIRTY, EPOCH, TREE, Line

MOST = 200_000  # entries; with more the full comparison is the quicker way, and memory has an end
COALESCE_SECONDS = 0.1  # a path that is changed again so soon, before anybody was told of it, keeps its number
COMPACT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Dirty:
    """One path to look at.

    seq: grows; an entry dirtied again gets a new one. path: relative to the set's folder, raw bytes; ``b""`` is the
    folder itself. first_at: unix seconds by the source's clock, of the first change that was not acknowledged; not
    later than the moment at which this process was woken by it. tree: everything below has to be looked at too, also
    what is there no more (a folder came, went, or was followed by another of its name).

    The times of a folder change with what comes and goes in it, which dirties no folder: whoever copies an entry
    copies the attributes of the folder above it.
    """

    seq: int
    path: bytes
    first_at: float
    tree: bool


class _Entry:
    """told: the number under which somebody was told of it last. again_at: the first change after that, and
    again_tree: whether one of those since was of all that is below."""

    __slots__ = ("again_at", "again_tree", "first_at", "last_at", "seq", "told", "tree")

    def __init__(self, seq: int, at: float, tree: bool) -> None:
        self.seq, self.tree = seq, tree
        self.first_at = self.last_at = at
        self.told = 0
        self.again_at: float | None = None
        self.again_tree = False

    def covers(self, at: float, tree: bool) -> bool:
        """Whether a change now needs no new number: whoever will be told of this entry looks later than that."""
        return self.told < self.seq and at - self.last_at < COALESCE_SECONDS and (self.tree or not tree)

    def touch(self, seq: int, at: float, tree: bool) -> bool:
        """Changed once more; whether this is the first time since somebody was told of it."""
        first = bool(self.told) and self.again_at is None
        if first:
            self.again_at, self.again_tree = at, False
        self.seq, self.last_at = seq, at
        self.tree, self.again_tree = self.tree or tree, self.again_tree or tree
        return first

    def told_now(self) -> None:
        """Somebody is told of it as it is now."""
        self.told, self.again_at = self.seq, None

    def settled(self) -> None:
        """What was told is safe; only what came after that is left."""
        if self.again_at is not None:
            self.first_at, self.tree = self.again_at, self.again_tree
        self.told, self.again_at = 0, None


class DirtyJournal:
    """The journal of one set. Not to be used from two processes or threads at once.

    epoch: random. A new one means: whoever follows may have missed something and must compare in full. What follows
    a call of ``flush`` survives the death of the process; ``after`` flushes before it tells.
    """

    def __init__(self, file: Path) -> None:
        """Take up ``file``, or begin anew where there is none or its end is torn. Raises OSError."""
        self._file = file
        self._entries: dict[bytes, _Entry] = {}  # in the order of their numbers
        self._again: dict[bytes, _Entry] = {}  # those that were changed after somebody was told of them
        self._buffer = bytearray()
        self._size = 0
        self._handle = -1
        self._waiting: list[asyncio.Future[None]] = []
        self.epoch = ""
        self.last = 0  # the newest number
        self.reason: str | None = None  # of the newest epoch
        self._take_up()

    @property
    def pending(self) -> int:
        """How many paths are dirty."""
        return len(self._entries)

    @property
    def oldest_at(self) -> float | None:
        """Since when something is dirty, unix seconds; None where nothing is."""
        return min((each.first_at for each in self._entries.values()), default=None)

    def add(self, path: bytes, at: float, *, tree: bool = False) -> None:
        """Something was changed there, not before ``at``."""
        entry = self._entries.get(path)
        if entry is not None and entry.covers(at, tree):
            return
        self.last += 1
        if entry is None:
            if len(self._entries) >= MOST:
                self.renew(f"more than {MOST} paths were changed")
                return
            entry = _Entry(self.last, at, tree)
        else:
            del self._entries[path]
            if entry.touch(self.last, at, tree):
                self._again[path] = entry
        self._entries[path] = entry
        self._write(Line(TREE if entry.tree else DIRTY, self.last, at, path))

    def after(self, seq: int, *, most: int) -> tuple[Dirty, ...]:
        """At most ``most`` entries with a number above ``seq``, oldest first, one for each path."""
        self.flush()
        found: list[Dirty] = []
        for path, entry in self._entries.items():
            if entry.seq <= seq:
                continue
            if len(found) >= most:
                break
            found.append(Dirty(entry.seq, path, entry.first_at, entry.tree))
            entry.told_now()
            self._again.pop(path, None)
        return tuple(found)

    def peek(self) -> tuple[Dirty, ...]:
        """All that is dirty, without anybody being told: for a count, or to name what a failover has lost."""
        return tuple(Dirty(each.seq, path, each.first_at, each.tree) for path, each in self._entries.items())

    def acknowledge(self, epoch: str, seq: int) -> None:
        """All up to ``seq`` is safe at the standby. Of another epoch it says nothing; beyond our own numbers, it says
        that we have forgotten something."""
        if epoch != self.epoch:
            return
        if seq > self.last:
            self.renew("the other site knows of changes that this one has forgotten")
            return
        done = []
        for path, entry in self._entries.items():
            if entry.seq > seq:
                break
            done.append(path)
        for path in done:
            del self._entries[path]
        for path in [path for path, entry in self._again.items() if entry.told <= seq]:
            self._again.pop(path).settled()
        if done:
            self._write(Line(ACKNOWLEDGED, seq, 0.0, b""))

    def renew(self, reason: str) -> str:
        """Forget all under a new epoch, which is returned: something may have been missed."""
        self._entries.clear()
        self._again.clear()
        self.epoch, self.reason = secrets.token_hex(16), reason
        self._buffer.clear()
        self._rewrite()
        self._wake()
        return self.epoch

    def flush(self) -> None:
        """Hand to the kernel what was noted, and wake who waits for it."""
        if not self._buffer:
            return
        if self._handle >= 0:
            try:
                written = os.write(self._handle, self._buffer)
            except OSError:
                written = 0
            if written == len(self._buffer):
                self._size += written
            else:
                self._give_up()
        self._buffer.clear()
        if self._size > COMPACT_BYTES and self._size > 3 * tape.size_of(self._lines()):
            self._rewrite()
        self._wake()

    async def changed(self, seq: int, epoch: str) -> None:
        """Return once there is an entry above ``seq``, or another epoch."""
        while self.last <= seq and self.epoch == epoch:
            ready = asyncio.get_running_loop().create_future()
            self._waiting.append(ready)
            await ready

    def close(self) -> None:
        """Flush, and let go of the file."""
        self.flush()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _take_up(self) -> None:
        told = tape.read(self._file)
        if told is None:
            self.renew("there was no journal that could be taken up")
            return
        for line in told:
            self._play(line)
        self._handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._handle).st_size

    def _play(self, line: Line) -> None:
        """One line of the file. Whether somebody was told is not in it, so it is taken as if after each."""
        self.last = max(self.last, line.seq)
        if line.kind == EPOCH:
            self._entries.clear()
            self._again.clear()
            self.epoch = line.path.decode()
        elif line.kind == ACKNOWLEDGED:
            self.acknowledge(self.epoch, line.seq)
            self._buffer.clear()
        else:
            entry, tree = self._entries.pop(line.path, None), line.kind == TREE
            if entry is None:
                entry = _Entry(line.seq, line.at, tree)
            else:
                entry.told = entry.told or entry.seq
                if entry.touch(line.seq, line.at, tree):
                    self._again[line.path] = entry
            self._entries[line.path] = entry

    def _lines(self) -> Iterator[Line]:
        """What a new file must hold."""
        yield Line(EPOCH, self.last, 0.0, self.epoch.encode())
        for path, entry in self._entries.items():
            yield Line(TREE if entry.tree else DIRTY, entry.seq, entry.first_at, path)

    def _write(self, line: Line) -> None:
        self._buffer += tape.packed(line)

    def _rewrite(self) -> None:
        try:
            handle = tape.written_anew(self._file, self._lines())
        except OSError:
            self._give_up()
            return
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = handle
        self._size = os.fstat(handle).st_size

    def _give_up(self) -> None:
        """No room: go on in memory. A file that is not there makes the next process begin a new epoch."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._size = -1, 0

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            if not ready.done():
                ready.set_result(None)
