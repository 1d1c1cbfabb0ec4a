"""Where a set's folder really is: its path without links, the file systems that belong to it, whether all are there.

Paths are bytes here, because names on a disk are; pathlib has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from secondsite.files.watch.fanotify import handle_of

_OCTAL = re.compile(rb"\\([0-7]{3})")
_ESCAPED = re.compile(rb"[ \t\n\\#]")


# Whoever reads this is at the other site, and has no more than these words.
NOT_INSIDE = "is not mounted inside the set: mount it, or run secondsite apply once it is meant to be gone"


class Root(NamedTuple):
    """handle: tells it from a folder that was made in its place and got its inode."""

    path: bytes
    device: int
    inode: int
    handle: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """path: the folder, without symbolic links. roots: the folder and every mount point below it. While none of them
    changes, the same files are seen."""

    path: bytes
    roots: tuple[Root, ...]


def place_of(folder: bytes, mount: bytes | None, inner: Sequence[bytes] = ()) -> Place:
    """The place now. mount: the mount point that the folder belongs to, where that is known. inner: those that have to
    be inside it.

    Raises OSError; FileNotFoundError also where the folder is there and a file system of it is not.
    """
    path = os.path.realpath(folder)
    if not os.path.isdir(path):  # noqa: PTH112
        raise FileNotFoundError(f"there is no folder {os.fsdecode(folder)}")
    if mount is not None and mount_of(path) != mount:
        raise FileNotFoundError(f"{os.fsdecode(folder)} belongs to {os.fsdecode(mount)}, which is not mounted")
    below = mounts_now(path)
    gone = missing(inner, below)
    if gone is not None:
        raise FileNotFoundError(gone)
    return Place(path, tuple(map(_root, (path, *below))))


def mounts_now(path: bytes) -> tuple[bytes, ...]:
    """The mount points below a real path."""
    return mounts_below(path, Path("/proc/self/mountinfo").read_bytes().splitlines())


def missing(inner: Sequence[bytes], below: Sequence[bytes]) -> str | None:
    """Pure: what is told where one of the mount points that have to be inside a set is not among those that are; None
    where all are. Its empty folder must not look like files that were deleted."""
    gone = next((each for each in inner if each not in below), None)
    return None if gone is None else f"{os.fsdecode(gone)} {NOT_INSIDE}"


def _root(path: bytes) -> Root:
    status = os.stat(path)  # noqa: PTH116
    return Root(path, status.st_dev, status.st_ino, handle_of(path))


def mount_of(path: bytes) -> bytes:
    """The mount point of a real path."""
    while not os.path.ismount(path):
        path = os.path.dirname(path)  # noqa: PTH120
    return path


def mounts_below(path: bytes, table: Iterable[bytes]) -> tuple[bytes, ...]:
    """Pure: the mount points below ``path`` in the lines of /proc/self/mountinfo (proc(5))."""
    above = path.rstrip(b"/") + b"/"
    written = b" " + _ESCAPED.sub(lambda each: b"\\%03o" % each[0][0], above)
    points = (line.split(b" ")[4] for line in table if written in line)
    found = {_OCTAL.sub(lambda code: bytes([int(code[1], 8)]), point) for point in points}
    return tuple(sorted(point for point in found if point.startswith(above) and point != path))


def inside(path: bytes, folder: bytes) -> bytes | None:
    """Pure: ``path`` relative to ``folder``; ``b""`` is the folder itself, None is somewhere else."""
    if path == folder:
        return b""
    above = folder.rstrip(b"/") + b"/"
    return path[len(above) :] if path.startswith(above) else None
