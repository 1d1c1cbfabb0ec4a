"""At the source: a batch of entries, made by looking at each path now. Runs in a thread of its own."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from secondsite.files.stream.beneath import GONE, Root, split
from secondsite.files.stream.entry import Entry, Kind
from secondsite.files.stream.exclude import Excludes
from secondsite.files.stream.look import look, ours, siblings, walk
from secondsite.files.stream.wire import HEAD_BYTES, LINKS, encode

MOST_ENTRIES = 5_000
MOST_BYTES = 8_000_000
MOST_SECONDS = 1.0  # of looking before what was found is sent
LINKS_SHARE = 0.1  # of the time may go into looking for a file's other names
LINKS_BYTES = HEAD_BYTES // 8  # what their names may take, escaped as JSON does at worst


@dataclass(slots=True)
class Batch:
    """frames: to be sent, a folder before what is in it. looked_at: unix seconds, before the first look. failed: paths
    that could not be read, and why. postponed: files with several names; for the others of these it will be time at
    ``links_at`` (monotonic). seen: folders that were told along. walked: the walk that was asked for is at its end."""

    frames: list[bytes] = field(default_factory=list)
    size: int = 0
    looked_at: float = 0.0
    failed: dict[bytes, str] = field(default_factory=dict)
    postponed: list[bytes] = field(default_factory=list)
    links_at: float = 0.0
    seen: list[bytes] = field(default_factory=list)
    walked: bool = False

    @property
    def full(self) -> bool:
        return len(self.frames) >= MOST_ENTRIES or self.size >= MOST_BYTES


class Collector:
    """Looks at paths of one set for one follower."""

    def __init__(self, root: Root, excludes: Excludes) -> None:
        self._root, self._excludes = root, excludes
        self._links_from = 0.0  # monotonic moment from which a file's other names may be looked for

    def walk(self, path: bytes, waits: Callable[[bytes], bool]) -> Iterator[Entry]:
        """All of a folder, to be given to ``batch`` until it is ``walked``; the folders above it with it."""
        above = sorted(self._with_folders([path], waits) - {path})
        if path and self._left_out(path):
            return
        yield from (look(self._root, each) for each in above)
        whole = walk(self._root, path, self._excludes)
        yield next(whole)
        yield from (look(self._root, each) for each in above)
        yield from whole

    def batch(
        self, paths: Sequence[bytes], waits: Callable[[bytes], bool], walking: Iterator[Entry] | None = None
    ) -> tuple[Batch, list[bytes]]:
        """What is at ``paths`` now, then of ``walking`` as much as there is room for; and which paths had no room.

        waits: whether a folder is dirty itself, so that those above it must be told too. Raises OSError where the
        set's folder itself cannot be read.
        """
        batch, linked, began = Batch(looked_at=time.time()), list[Entry](), time.monotonic()
        wanted = self._with_folders(paths, waits)
        asked, left = set(paths), list[bytes]()
        for path in sorted(wanted):
            if batch.full and path in asked:
                left.append(path)
            else:
                self._look(path, batch, linked)
        batch.seen = [path for path in wanted if path not in asked]
        if walking is not None:
            self._walk(walking, batch, linked, began)
        self._link(linked, batch)
        return batch, left

    def _with_folders(self, paths: Sequence[bytes], waits: Callable[[bytes], bool]) -> set[bytes]:
        """With each its folder, whose time it has changed, and whichever above that is new too."""
        wanted: set[bytes] = set()
        for path in paths:
            if self._left_out(path):
                continue
            wanted.add(path)
            while path:
                path, _ = split(path)
                if path in wanted:
                    break
                wanted.add(path)
                if not waits(path):
                    break
        return wanted

    def _left_out(self, path: bytes) -> bool:
        if any(ours(name) for name in path.split(b"/")):
            return True
        return self._excludes.excluded(path, folder=False) or (
            self._excludes.excluded(path, folder=True) and self._is_folder(path)
        )

    def _is_folder(self, path: bytes) -> bool:
        try:
            os.close(self._root.folder(path))
        except OSError:
            return False
        return True

    def _look(self, path: bytes, batch: Batch, linked: list[Entry]) -> None:
        try:
            entry = look(self._root, path)
        except OSError as failed:
            batch.failed[path] = os.strerror(failed.errno or errno.EIO)
            return
        if not path and entry.kind is not Kind.FOLDER:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self._put(entry, batch, linked)

    def _put(self, entry: Entry, batch: Batch, linked: list[Entry]) -> None:
        if entry.inode is not None:
            linked.append(entry)
            batch.size += len(entry.content)
            return
        written = encode(entry)
        batch.frames.append(written)
        batch.size += len(written)

    def _walk(self, walking: Iterator[Entry], batch: Batch, linked: list[Entry], began: float) -> None:
        while not batch.full and len(linked) < MOST_ENTRIES and time.monotonic() - began < MOST_SECONDS:
            try:
                entry = next(walking)
            except StopIteration:
                batch.walked = True
                return
            except OSError as failed:
                if failed.errno not in GONE:
                    raise
                continue
            self._put(entry, batch, linked)

    def _link(self, linked: list[Entry], batch: Batch) -> None:
        """Each file once, with all its names. Looking for them reads every folder, so it is done now and then."""
        if not linked:
            return
        now = time.monotonic()
        if now < self._links_from:
            batch.postponed, batch.links_at = [entry.path for entry in linked], self._links_from
            return
        first: dict[tuple[int, int], Entry] = {}
        for entry in linked:
            if entry.inode is not None:
                first.setdefault(entry.inode, entry)
        found = siblings(self._root, first, self._excludes)
        for inode, entry in first.items():
            names = _shortened(entry.path, found[inode])
            written = encode(replace(entry, links=names if len(names) > 1 else ()))
            batch.frames.append(written)
            batch.size += len(written)
        took = time.monotonic() - now
        self._links_from = time.monotonic() + took / LINKS_SHARE


def _shortened(path: bytes, names: Sequence[bytes]) -> tuple[bytes, ...]:
    """As many of a file's names as one entry can carry, itself first; a full comparison finds the others."""
    kept, size = [path], 0
    for name in names:
        size += 6 * len(name)
        if name != path and size <= LINKS_BYTES and len(kept) < LINKS:
            kept.append(name)
    return tuple(kept)
