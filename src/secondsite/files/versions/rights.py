"""Rights that a copy never holds: set-id bits of the primary's own files outlive the return of a version."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_BITS = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True, slots=True)
class Right:
    """Set-id bits of one file: which file it is, whose, as it was last written, and which bits."""

    device: int
    inode: int
    owner: int
    group: int
    size: int
    modified_ns: int
    bits: int


def rights(folder: Path, wanted: str) -> dict[Path, Right]:
    """Of the files at or below ``wanted`` in a set's folder, those with set-id bits. Links are not followed."""
    top, found = folder / wanted if wanted else folder, dict[Path, Right]()
    files = [top] if not top.is_dir() or top.is_symlink() else []
    for place, _, names in os.walk(top):
        files += [Path(place, name) for name in names]
    for path in files:
        with contextlib.suppress(OSError):  # it has gone meanwhile
            seen = path.lstat()
            right = _right(seen, seen.st_mode & _BITS)
            if right is not None:
                found[path] = right
    return found


def give_back(before: Mapping[Path, Right]) -> int:
    """rsync gives a file the mode that the version has, which is one without these bits. Who still is the same file of
    the same owner, and was not written into meanwhile, gets them back: the kernel takes them off what somebody else has
    written. How many are other files now, without them."""
    others = 0
    for path, right in before.items():
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue  # it has gone, and not by us
        try:
            now = os.fstat(handle)
            if _right(now, right.bits) != right:
                others += 1
            elif now.st_mode & right.bits != right.bits:
                os.fchmod(handle, stat.S_IMODE(now.st_mode) | right.bits)
        finally:
            os.close(handle)
    return others


def _right(seen: os.stat_result, bits: int) -> Right | None:
    if not stat.S_ISREG(seen.st_mode) or not bits:
        return None
    return Right(seen.st_dev, seen.st_ino, seen.st_uid, seen.st_gid, seen.st_size, seen.st_mtime_ns, bits)
