"""Make the tree of a version: each file linked, or sharing its blocks, or the whole a snapshot."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from secondsite.files.versions.copy import copy_file
from secondsite.files.versions.entry import FILE, FOLDER, LINK, Entry, Groups, put, read
from secondsite.files.versions.manifest import Writer
from secondsite.files.versions.walk import FOLDER_FLAGS, walk

Counted = Callable[[int], None]


class Target(AbstractContextManager["Target"]):
    """The folder that is being filled, followed down and up as the walk goes through its source."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._open: list[int] = []
        self._entries: list[Entry] = []

    @property
    def here(self) -> int:
        return self._open[-1] if self._open else self._top

    def enter(self, entry: Entry, name: str) -> None:
        """A new folder, for us alone until it is left."""
        os.mkdir(name, 0o700, dir_fd=self.here)
        self._open.append(os.open(name, FOLDER_FLAGS, dir_fd=self.here))
        self._entries.append(entry)

    def leave(self, name: str) -> None:
        """What it holds is complete: owner, mode and time come last, because filling it changes its time."""
        os.close(self._open.pop())
        put(self._entries.pop(), self.here, name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            os.close(self._open.pop())


def fill(source: int, top: int, manifest: Writer, *, linked: bool, counted: Counted) -> None:
    """Fill the open, empty folder ``top`` with what the open folder ``source`` holds, and write it down.

    linked: the files themselves, under another name: their content stays as it is because a pull replaces a file by
    renaming a new one over it and never writes into it (rsync without --inplace, ``files/rsync/command.py``), and their
    attributes are what the manifest says. Otherwise each file is one of its own. Raises OSError, ENOSPC too.
    """
    groups, count = Groups(), 0
    itself = read("", ".", source, os.fstat(source))
    assert itself is not None
    manifest.add(itself)
    with Target(top) as target:
        for seen in walk(source):
            if seen.leaving:
                target.leave(seen.name)
                continue
            count += 1
            if count % 500 == 0:
                counted(count)
            entry = read(seen.path, seen.name, seen.folder, seen.stat)
            if entry is None:
                continue
            entry = groups.told(entry, seen.stat)
            manifest.add(entry)
            if entry.kind == FOLDER:
                target.enter(entry, seen.name)
            elif linked and entry.kind == FILE:
                _link(entry, seen.folder, target.here, seen.name)
            else:
                _own(entry, seen.folder, target.here, seen.name, top)
    put(itself, top, ".")


def _link(entry: Entry, source: int, target: int, name: str) -> None:
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as refused:
        if refused.errno != errno.EMLINK:  # a file has its most links: this version gets one of its own
            raise
        copy_file(source, name, target, name)
        put(entry, target, name)


def _own(entry: Entry, source: int, target: int, name: str, top: int) -> None:
    """A file or link of its own, except that names which are one file stay one file."""
    if entry.group is not None:
        os.link(entry.group, name, src_dir_fd=top, dst_dir_fd=target, follow_symlinks=False)
        return
    if entry.kind == LINK:
        assert entry.target is not None
        os.symlink(entry.target, name, dir_fd=target)
    else:
        copy_file(source, name, target, name)
    put(entry, target, name)
