"""At the standby: the other names of files of which one name went.

A file is written through one of its names, and that name is gone before the source has looked: nothing tells then that
what the others hold has changed. Here they are known, so each of them is compared with the source.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable

from secondsite.files.stream.beneath import GONE, Root
from secondsite.files.stream.entry import Entry, Kind

Inode = tuple[int, int]


class Siblings:
    """Of one batch: of which files a name went, and how many others these have left."""

    def __init__(self) -> None:
        self._left: dict[Inode, int] = {}

    def parted(self, old: os.stat_result | None) -> None:
        """A name of this file goes, or becomes another file's."""
        if old is not None and stat.S_ISREG(old.st_mode) and (old.st_nlink > 1 or _inode(old) in self._left):
            self._left[_inode(old)] = old.st_nlink - 1

    def unsure(self, told: Iterable[os.stat_result | None]) -> set[Inode]:
        """Those that have other names here, without what the source has just ``told`` by one of these."""
        found = {inode for inode, others in self._left.items() if others > 0}
        return found - {_inode(one) for one in told if one is not None} if found else found


def named(root: Root, inodes: set[Inode], excluded: Callable[[bytes], bool]) -> list[Entry]:
    """Every path here that is one of them, to be fetched. Reads all folders. Raises OSError."""
    found, folders = list[Entry](), [b""]
    while folders:
        folder = folders.pop()
        try:
            handle = root.folder(folder)
        except OSError as failed:
            if failed.errno in GONE:
                continue
            raise
        try:
            with os.scandir(handle) as entries:
                for one in entries:
                    path = (folder + b"/" if folder else b"") + os.fsencode(one.name)
                    if one.is_dir(follow_symlinks=False):
                        folders.append(path)
                        continue
                    here = one.stat(follow_symlinks=False)
                    if _inode(here) in inodes and not excluded(path):
                        sparse = here.st_blocks * 512 < here.st_size
                        found.append(Entry(path, Kind.FILE, size=here.st_size, sparse=sparse))
        finally:
            os.close(handle)
    return found


def _inode(one: os.stat_result) -> Inode:
    return one.st_dev, one.st_ino
