"""The file systems inside a copy. One that is not mounted must not get files below its mount point: they would be
hidden when it is mounted again, and what it holds then is old."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondsite.files.watch.place import inside, mounts_below

TABLE = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Inside:
    """missing: what is told where one that has to be there is not. mounts: the mount points below the folder, each with
    the device number of what is there: another file system has other files."""

    missing: str | None = None
    mounts: tuple[tuple[bytes, bytes], ...] = ()


def look(folder: Path, inner: Sequence[str]) -> Inside:
    """inner: the mount points that have to be inside, of which those elsewhere do not count. Nothing is read where
    there are none. Raises OSError."""
    if not inner:
        return Inside()
    path = os.path.realpath(os.fsencode(folder))
    wanted = [each for each in map(os.fsencode, inner) if inside(each, path)]
    return judge(path, wanted, TABLE.read_bytes().splitlines()) if wanted else Inside()


def judge(path: bytes, inner: Sequence[bytes], table: Iterable[bytes]) -> Inside:
    """Pure: the same, of a real path and the lines of /proc/self/mountinfo (proc(5))."""
    found = [(point, line.split(b" ")[2]) for line in table for point in mounts_below(path, (line,))]
    points = {point for point, _ in found}
    gone = next((os.fsdecode(each) for each in inner if each not in points), None)
    told = f"{gone} is not mounted inside the copy: mount it, or run secondsite apply once it is meant to be gone"
    return Inside(None if gone is None else told, tuple(sorted(found)))
