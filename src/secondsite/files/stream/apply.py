"""At the standby: bring one batch into the set's folder, beneath it and nowhere else.

What a file holds is never changed in place: it is made under another name in the same folder and renamed, so whoever
reads sees the old one or the new one. Times of folders come last, because everything else changes them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from secondsite.files.stream.attributes import give, give_link
from secondsite.files.stream.beneath import GONE, openat2, split
from secondsite.files.stream.content import holds, write_all
from secondsite.files.stream.entry import TEMPORARY, Entry, Kind
from secondsite.files.stream.here import Here
from secondsite.files.stream.siblings import Siblings, named
from secondsite.files.stream.weigh import Weighing, attributes_of

_FULL = (errno.ENOSPC, errno.EDQUOT)


class NoSpace(Exception):
    """The disk here is full: nothing is acknowledged, and what is on its way is asked for again."""


class Taken(Exception):
    """The set is not a copy any more: somebody has promoted it."""


@dataclass(slots=True)
class Applied:
    """What a batch did. created: paths that were not here. anew: files that took another's place. written: bytes.
    fetch: files that rsync has to bring. amiss: what could not be brought, and why: only a full comparison knows what
    to do."""

    created: list[bytes] = field(default_factory=list)
    anew: list[bytes] = field(default_factory=list)
    deleted: int = 0
    written: int = 0
    fetch: list[Entry] = field(default_factory=list)
    amiss: dict[bytes, str] = field(default_factory=dict)


class Applying:
    """One batch. may: raises Taken once nothing may be written any more; asked before whatever can be seen."""

    def __init__(self, weighing: Weighing, may: Callable[[], None] = lambda: None) -> None:
        self._its, self._root, self._excludes, self._may = weighing, weighing.root, weighing.excludes, may
        self._there = weighing.there
        self._folder: tuple[bytes, int] | None = None
        self._made, self._token = 0, TEMPORARY + secrets.token_hex(8).encode()
        self._siblings = Siblings()
        self.applied = Applied()

    @property
    def may(self) -> Callable[[], None]:
        """Raises Taken."""
        return self._may

    def carry_out(self) -> Applied:
        """All but the content that has to be fetched, and what waits for it. Raises NoSpace, Taken, OSError."""
        try:
            with Here(self._root) as here:
                doomed = [path for path, _ in self._its.doomed(here)]
            for path in sorted(self._there):
                self._guarded(path, partial(self._make, self._there[path]))
            for path in sorted(doomed, key=_deepest):
                if path not in self._there:
                    self._guarded(path, partial(self._remove, path))
        finally:
            self._leave()
        return self.applied

    def finish(self) -> None:
        """The other names of files, now that these are here; then the times of folders. Raises as ``carry_out``."""
        try:
            for path in sorted(self._there):
                entry = self._there[path]
                if entry.links:
                    self._guarded(path, partial(self._link, entry))
            self._leave()
            for path in sorted(self._there, key=_deepest):
                if self._there[path].kind is Kind.FOLDER:
                    self._guarded(path, partial(self._time, self._there[path]))
        finally:
            self._leave()

    def siblings(self) -> list[Entry]:
        """Behind ``finish``: names here of files of which another name went; nobody has told what they hold. Raises
        OSError."""
        unsure = self._siblings.unsure(self._its.stat(path) for path in self._there)
        return named(self._root, unsure, lambda path: self._excludes.excluded(path, folder=False)) if unsure else []

    def _guarded(self, path: bytes, act: Callable[[], None]) -> None:
        """One path; that it cannot be brought does not stop the others."""
        self._may()
        try:
            act()
        except OSError as failed:
            if failed.errno in _FULL:
                raise NoSpace(os.strerror(failed.errno or errno.ENOSPC)) from failed
            if failed.errno in (errno.EIO, errno.EROFS):
                raise
            self.applied.amiss[path] = os.strerror(failed.errno or errno.EIO)

    def _remove(self, path: bytes) -> None:
        """Deepest first. What is left out of the set stays, and the folders that hold it."""
        old = self._its.stat(path)
        if old is None:
            return
        self._leave()
        for below in reversed(self._its.below(path)) if stat.S_ISDIR(old.st_mode) else (path,):
            parent, name = split(below)
            try:
                folder = self._at(parent)
                here = os.stat(name, dir_fd=folder, follow_symlinks=False)
                self._may()
                (os.rmdir if stat.S_ISDIR(here.st_mode) else os.unlink)(name, dir_fd=folder)
                self._siblings.parted(here)
                self.applied.deleted += 1
            except OSError as failed:
                if failed.errno not in (*GONE, errno.ENOTEMPTY):
                    raise
        self._leave()

    # What comes

    def _at(self, parent: bytes) -> int:
        """A descriptor of the folder ``parent``; the last one is kept open."""
        if self._folder is None or self._folder[0] != parent:
            self._leave()
            self._folder = parent, openat2(self._root.handle, parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        return self._folder[1]

    def _leave(self) -> None:
        if self._folder is not None:
            os.close(self._folder[1])
            self._folder = None

    def _make(self, entry: Entry) -> None:
        if entry.kind is Kind.FOLDER and not entry.path:
            give(self._root.handle, attributes_of(entry), time=False)
            return
        parent, name = split(entry.path)
        folder = self._at(parent)
        try:
            old = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            old = None
            self.applied.created.append(entry.path)
        if old is not None and stat.S_ISDIR(old.st_mode) and entry.kind is not Kind.FOLDER:
            self._remove(entry.path)
            folder, old = self._at(parent), None
        if entry.kind is Kind.FOLDER:
            self._make_folder(folder, name, old, entry)
        elif entry.kind is Kind.LINK:
            self._make_link(folder, name, old, entry)
        elif entry.fetched:
            self.applied.fetch.append(entry)
            self._siblings.parted(old)
        elif not self._same(folder, name, old, entry):
            self._write(folder, name, entry)
            self.applied.anew += [entry.path] if old is not None and stat.S_ISREG(old.st_mode) else []
            self._siblings.parted(old)

    def _make_folder(self, folder: int, name: bytes, old: os.stat_result | None, entry: Entry) -> None:
        if old is not None and not stat.S_ISDIR(old.st_mode):
            self._may()
            os.unlink(name, dir_fd=folder)
            self._siblings.parted(old)
            self.applied.deleted += 1
            old = None
        if old is None:
            self._may()
            os.mkdir(name, 0o700, dir_fd=folder)
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            give(handle, attributes_of(entry), time=False)
        finally:
            os.close(handle)

    def _make_link(self, folder: int, name: bytes, old: os.stat_result | None, entry: Entry) -> None:
        if old is not None and stat.S_ISLNK(old.st_mode) and os.readlink(name, dir_fd=folder) == entry.target:
            give_link(folder, name, attributes_of(entry))
            return
        with self._new(folder, name) as temporary:
            os.symlink(entry.target, temporary, dir_fd=folder)
            give_link(folder, temporary, attributes_of(entry))
        self._siblings.parted(old)

    def _same(self, folder: int, name: bytes, old: os.stat_result | None, entry: Entry) -> bool:
        """Whether the content is here already; its attributes are set then. A file that has other names here and none
        there is made anew: what is changed in it would change those too."""
        if old is None or not stat.S_ISREG(old.st_mode) or old.st_size != entry.size:
            return False
        if (old.st_nlink > 1 and not entry.links) or (old.st_blocks * 512 < old.st_size) != entry.sparse:
            return False
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            opened = os.fstat(handle)
            if (opened.st_dev, opened.st_ino) != (old.st_dev, old.st_ino) or not holds(handle, entry):
                return False
            give(handle, attributes_of(entry))
            return True
        finally:
            os.close(handle)

    def _write(self, folder: int, name: bytes, entry: Entry) -> None:
        with self._new(folder, name) as temporary:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(temporary, flags, 0o600, dir_fd=folder)
            try:
                at = end = 0
                for offset, length in entry.parts or ():
                    write_all(handle, entry.content[at : at + length], offset)
                    at, end = at + length, offset + length
                if end != entry.size:  # a hole is at its end; to cut a file where it ends anyway costs as much
                    os.ftruncate(handle, entry.size)
                give(handle, attributes_of(entry))
            finally:
                os.close(handle)
        self.applied.written += len(entry.content)

    @contextlib.contextmanager
    def _new(self, folder: int, name: bytes) -> Iterator[bytes]:
        """A name for something half-made, which takes ``name``'s place when it is whole."""
        self._made += 1
        temporary = b"%b-%d" % (self._token, self._made)
        try:
            yield temporary
            self._may()
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _link(self, entry: Entry) -> None:
        """Make every name of a file that name of it. rename(2) does nothing where both are one file already, and then
        leaves the new name too, so that is asked first."""
        made = self._its.stat(entry.path)
        if made is None or not stat.S_ISREG(made.st_mode):
            return
        own_parent, own = split(entry.path)
        with self._root.opened(own_parent, os.O_PATH | os.O_DIRECTORY) as source:
            for path in entry.links:
                if path in self._there or path in self._its.told_gone or self._excludes.excluded(path, folder=False):
                    continue
                old = self._its.stat(path)
                if old is not None and (old.st_dev, old.st_ino) == (made.st_dev, made.st_ino):
                    continue
                parent, name = split(path)
                try:
                    folder = self._at(parent)
                except OSError as failed:
                    if failed.errno in GONE:
                        continue  # that folder is still to be told, and this name with it
                    raise
                if old is not None and stat.S_ISDIR(old.st_mode):
                    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
                before = os.fstat(folder)
                with self._new(folder, name) as temporary:
                    os.link(own, temporary, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
                if old is None:
                    self.applied.created.append(path)
                self._siblings.parted(old)
                self._put_back(parent, before)

    def _put_back(self, parent: bytes, before: os.stat_result) -> None:
        """A folder that the source has not told keeps its time: only how we bring a name has changed it."""
        if parent not in self._there:
            handle = self._root.folder(parent)
            try:
                os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
            finally:
                os.close(handle)

    def _time(self, entry: Entry) -> None:
        try:
            handle = self._root.folder(entry.path)
        except OSError as failed:
            if failed.errno in GONE:
                return
            raise
        try:
            os.utime(handle, ns=(os.fstat(handle).st_atime_ns, attributes_of(entry).mtime))
        finally:
            os.close(handle)


def _deepest(path: bytes) -> tuple[int, bytes]:
    return -path.count(b"/") if path else 1, path
