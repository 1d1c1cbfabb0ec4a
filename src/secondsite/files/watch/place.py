"""Where a set's folder really is: its path without links, the file systems that belong to it, whether all are there.

Paths are bytes here, because names on a disk are; pathlib has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from secondsite.files.watch.fanotify import handle_of

_OCTAL = re.compile(rb"\\([0-7]{3})")
_ESCAPED = re.compile(rb"[ \t\n\\#]")


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


def place_of(folder: bytes, mount: bytes | None) -> Place:
    """The place now. mount: the mount point that the folder belongs to, where that is known.

    Raises OSError; FileNotFoundError also where the folder is there and its file system is not.
    """
    path = os.path.realpath(folder)
    if not os.path.isdir(path):  # noqa: PTH112
        raise FileNotFoundError(f"there is no folder {os.fsdecode(folder)}")
    if mount is not None and mount_of(path) != mount:
        raise FileNotFoundError(f"{os.fsdecode(folder)} belongs to {os.fsdecode(mount)}, which is not mounted")
    roots = (path, *mounts_below(path, Path("/proc/self/mountinfo").read_bytes().splitlines()))
    return Place(path, tuple(map(_root, roots)))


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
