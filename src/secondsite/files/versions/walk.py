"""Go through a folder by descriptors: no name on the way can be made to lead elsewhere while one looks."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from secondsite.files.rsync.command import PARTIAL

_CONTROL = (1, 0xFFFFFFFFFFFF)  # inode of `.zfs`, shown with snapdir=visible: all snapshots, and no part of the set
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Seen:
    """folder: descriptor of the folder that holds ``name``, open until the next step of the walk. path: relative to the
    walk's root. leaving: the second time a folder is told, behind all that is in it."""

    path: str
    name: str
    folder: int
    stat: os.stat_result
    leaving: bool = False


def walk(root: int) -> Iterator[Seen]:
    """Everything below the open folder ``root``, by name, each folder before and behind what it holds.

    What goes while one looks is passed over, and so is what rsync has received by half. Raises OSError.
    """
    stack = [(root, "", iter(names_in(root)))]
    entered: list[Seen] = []
    try:
        while stack:
            folder, prefix, names = stack[-1]
            name = next(names, None)
            if name is None:
                stack.pop()
                if stack:
                    os.close(folder)
                    yield _left(entered.pop())
                continue
            try:
                seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            told = Seen(f"{prefix}{name}", name, folder, seen)
            if not stat.S_ISDIR(seen.st_mode):
                yield told
            elif name != PARTIAL and not (name == ".zfs" and seen.st_ino in _CONTROL):
                yield told
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
                    stack.append((inner, f"{told.path}/", iter(names_in(inner))))
                    entered.append(told)
                    continue
                yield _left(told)
    finally:
        for folder, _, _ in stack[1:]:
            os.close(folder)


def _left(seen: Seen) -> Seen:
    return Seen(seen.path, seen.name, seen.folder, seen.stat, leaving=True)


def names_in(folder: int) -> list[str]:
    """What an open folder holds, by the names' bytes, so that two walks of one tree have one order."""
    return sorted(os.listdir(folder), key=os.fsencode)
