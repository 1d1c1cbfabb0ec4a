"""The state of a tree, to compare two: the proof's own eyes, which share nothing with secondsite's comparison."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

PARTIAL = b".secondsite-partial"  # what rsync keeps of a file that is half here: no part of a set


def walk(root: bytes) -> Iterator[tuple[bytes, int]]:
    """Everything below ``root`` with its mode, folders before what is in them, by name; links are not followed."""
    with os.scandir(root) as entries:
        found = sorted((each.path, each.stat(follow_symlinks=False).st_mode) for each in entries)
    for path, mode in found:
        yield path, mode
        if stat.S_ISDIR(mode):
            yield from walk(path)


@dataclass(frozen=True, slots=True)
class State:
    """Everything about one entry that a copy must have. inode is only for who asks which names are one file."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]
    data: tuple[tuple[int, int], ...]  # where it is not a hole
    group: tuple[bytes, ...]  # every name of the same file within the tree
    inode: int


def state_of(root: Path) -> dict[bytes, State]:
    """The tree by relative path; ``b""`` is the folder itself."""
    top = os.fsencode(root)
    paths = [(top, os.lstat(top).st_mode), *walk(top)]
    groups: dict[int, list[bytes]] = {}
    for path, mode in paths:
        if stat.S_ISREG(mode):
            groups.setdefault(os.lstat(path).st_ino, []).append(path[len(top) + 1 :])
    return {path[len(top) + 1 :]: _state(path, groups) for path, _ in paths}


def _state(path: bytes, groups: dict[int, list[bytes]]) -> State:
    seen = os.lstat(path)
    content, data = b"", tuple[tuple[int, int], ...]()
    if stat.S_ISREG(seen.st_mode):
        with open(path, "rb") as file:
            content, data = file.read(), tuple(_data(file.fileno(), seen.st_size))
    elif stat.S_ISLNK(seen.st_mode):
        content = os.readlink(path)
    names = _attributes(path)
    return State(
        seen.st_mode,
        (seen.st_uid, seen.st_gid),
        seen.st_mtime_ns,
        content,
        tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
        data,
        tuple(sorted(groups.get(seen.st_ino, ()))) if stat.S_ISREG(seen.st_mode) else (),
        seen.st_ino,
    )


def _attributes(path: bytes) -> list[str]:
    """Names of extended attributes; zfs-fuse has none of them at all."""
    try:
        return sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as refused:
        if refused.errno != errno.EOPNOTSUPP:
            raise
        return []


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts that are no hole (lseek(2), SEEK_DATA)."""
    place = 0
    while place < size:
        try:
            start = os.lseek(file, place, os.SEEK_DATA)
        except OSError:
            return
        place = os.lseek(file, start, os.SEEK_HOLE)
        yield start, place


def differences(source: Path, copy: Path, *, whole: bool = False) -> dict[bytes, tuple[State | None, State | None]]:
    """By path: what the source has and what the copy has, where that is not the same in every attribute. What is no
    part of a set by promise (devices, sockets, FIFOs, set-id bits of files) is expected to be missing at the copy. A
    hole has to be one at the copy too; where the source has written zeros, the copy may save that room. whole: nothing
    is left out; a snapshot has no parts that stay.

    Raises FileNotFoundError, NotADirectoryError where a tree changes meanwhile.
    """
    there = {
        path: replace(seen, mode=mode, inode=0)
        for path, seen in state_of(source).items()
        if (mode := seen.mode if whole else _copied(seen.mode))
    }
    here = {path: replace(seen, inode=0) for path, seen in state_of(copy).items()}
    paths = {path for path in there.keys() | here.keys() if PARTIAL not in path.split(b"/")}
    both = {path: (there.get(path), here.get(path)) for path in paths}
    return {path: (first, second) for path, (first, second) in both.items() if not _same(first, second)}


def _same(there: State | None, here: State | None) -> bool:
    if there is None or here is None:
        return there is here
    within = all(any(low <= start and end <= high for low, high in there.data) for start, end in here.data)
    return within and replace(there, data=()) == replace(here, data=())


def _copied(mode: int) -> int:
    """The mode that a copy has; 0 for what does not come."""
    if stat.S_ISREG(mode):
        return mode & ~0o6000
    return mode if stat.S_ISDIR(mode) or stat.S_ISLNK(mode) else 0
