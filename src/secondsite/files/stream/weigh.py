"""At the standby: what a batch tells, and what it would do to what is here. Looks only."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from secondsite.files.stream.beneath import GONE, Root
from secondsite.files.stream.entry import PARTIAL, TEMPORARY, Attributes, Entry, Kind
from secondsite.files.stream.exclude import Excludes
from secondsite.files.stream.here import Here


@dataclass(frozen=True, slots=True)
class Cost:
    """What a batch would do to what is here. gone: paths that would be removed. rewritten: files that are here and
    would get another content. created: what is new. empties: nothing would be left."""

    gone: tuple[bytes, ...] = ()
    rewritten: tuple[bytes, ...] = ()
    created: int = 0
    empties: bool = False


class Weighing:
    """One batch. there: what is at the source now, by path; told_gone: what is not any more."""

    def __init__(self, root: Root, batch: Sequence[Entry], excludes: Excludes) -> None:
        self.root, self.excludes = root, excludes
        kept = [one for one in batch if not self._left_out(one)]
        self._listed = [one for one in kept if one.kind is Kind.NAMES]
        self.there = {one.path: one for one in kept if one.kind not in (Kind.NAMES, Kind.GONE)}
        self.told_gone = {one.path for one in kept if one.kind is Kind.GONE} - self.there.keys()
        self._found: list[tuple[bytes, os.stat_result]] | None = None

    def cost(self) -> Cost:
        """Looks only."""
        gone: dict[bytes, None] = {}
        rewritten, created = dict[bytes, None](), 0
        with Here(self.root) as here:
            for path, old in self.doomed(here):
                gone |= dict.fromkeys(self.below(path) if stat.S_ISDIR(old.st_mode) else (path,))
            for path, entry in self.there.items():
                old_one = here.stat(path)
                created += old_one is None
                if old_one is not None and stat.S_ISREG(old_one.st_mode):
                    same = entry.kind is Kind.FILE and old_one.st_size == entry.size
                    if same and entry.fetched:
                        same = old_one.st_mtime_ns == attributes_of(entry).mtime
                    elif same:  # who encrypts files may give them their times back; who touches them rewrites nothing
                        same = here.holds(path, entry)
                    if not same:
                        rewritten[path] = None
                linked = entry.kind is Kind.LINK and old_one is not None and stat.S_ISLNK(old_one.st_mode)
                if linked and here.target(path) != entry.target:  # where it leads to is what it holds
                    rewritten[path] = None
                others = (other for other in entry.links if other != path and _replaced(here.stat(other), old_one))
                rewritten |= dict.fromkeys(others)
        return Cost(tuple(gone), tuple(rewritten), created, self._empties(gone))

    def entries(self) -> int:
        """Files and folders that are here now, root included: counted, where the record only keeps account."""
        return len(self.below(b""))

    def _empties(self, gone: Mapping[bytes, None]) -> bool:
        """Whether all that stands here at the top goes, and nothing comes there."""
        if not gone or any(path and b"/" not in path for path in self.there):
            return False
        return all(name in gone or name == PARTIAL or self._protected(name) for name in self._names(b""))

    def doomed(self, here: Here) -> list[tuple[bytes, os.stat_result]]:
        """Whatever is here and not at the source, or is a folder here and none there; nothing below another of it."""
        if self._found is None:
            told = set(self.told_gone)
            for one in self._listed:
                told.update(self._unlisted(one))
            told.update(path for path, entry in self.there.items() if entry.kind is not Kind.FOLDER)
            self._found, last = [], None
            for path in sorted(told):
                if last is not None and path.startswith(last):
                    continue
                old = here.stat(path)
                if old is None or (path in self.there and not stat.S_ISDIR(old.st_mode)):
                    continue
                last = path + b"/"
                self._found.append((path, old))
        return self._found

    def _unlisted(self, listed: Entry) -> Iterator[bytes]:
        """Names here that the source has not told for that folder."""
        known = set(listed.names)
        prefix = listed.path + b"/" if listed.path else b""
        for name in self._names(listed.path):
            path = prefix + name
            if name in known or name <= listed.low or (listed.high is not None and name > listed.high):
                continue
            if name != PARTIAL and path not in self.there and not self._protected(path):
                yield path

    def _protected(self, path: bytes) -> bool:
        """Left out of the set, so not ours to remove."""
        if self.excludes.excluded(path, folder=False):
            return True
        old = self.stat(path) if self.excludes.excluded(path, folder=True) else None
        return old is not None and stat.S_ISDIR(old.st_mode)

    def _names(self, path: bytes) -> list[bytes]:
        try:
            handle = self.root.folder(path)
        except OSError as failed:
            if failed.errno in GONE:
                return []
            raise
        try:
            with os.scandir(handle) as entries:
                return [os.fsencode(one.name) for one in entries]
        finally:
            os.close(handle)

    def below(self, path: bytes) -> list[bytes]:
        """A folder and all below it that is part of the set, each folder before what is in it."""
        found, folders = [path], [path]
        while folders:
            folder = folders.pop()
            try:
                handle = self.root.folder(folder)
            except OSError as failed:
                if failed.errno in GONE:
                    continue
                raise
            try:
                with os.scandir(handle) as entries:
                    for one in entries:
                        name, inside = os.fsencode(one.name), one.is_dir(follow_symlinks=False)
                        below = folder + b"/" + name if folder else name
                        if not self.excludes.excluded(below, folder=inside):
                            found.append(below)
                            folders += [below] if inside else []
            finally:
                os.close(handle)
        return found

    def stat(self, path: bytes) -> os.stat_result | None:
        try:
            with self.root.opened(path) as handle:
                return os.fstat(handle)
        except OSError as failed:
            if failed.errno in (*GONE, errno.ENAMETOOLONG):
                return None
            raise

    def _left_out(self, entry: Entry) -> bool:
        if any(name == PARTIAL or name.startswith(TEMPORARY) for name in entry.path.split(b"/")):
            return True
        folder = entry.kind in (Kind.FOLDER, Kind.NAMES)
        return self.excludes.excluded(entry.path, folder=folder)


def attributes_of(entry: Entry) -> Attributes:
    assert entry.attributes is not None  # wire.py lets none of these kinds pass without
    return entry.attributes


def _replaced(old: os.stat_result | None, by: os.stat_result | None) -> bool:
    """Whether there is a file that would become another name of the one that is there now."""
    if old is None or not stat.S_ISREG(old.st_mode):
        return False
    return by is None or (old.st_dev, old.st_ino) != (by.st_dev, by.st_ino)
