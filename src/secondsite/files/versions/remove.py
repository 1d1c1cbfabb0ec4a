"""Remove a folder tree of ours by descriptors: nothing outside it can be reached, whatever somebody has put into it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from secondsite.files.versions import btrfs
from secondsite.files.versions.walk import FOLDER_FLAGS, names_in


@dataclass(slots=True)
class _Level:
    """A folder that is being emptied: where it lies, its descriptor, and what is left in it."""

    place: int
    name: str
    folder: int
    names: list[str]


def remove_tree(place: int, name: str) -> None:
    """Remove ``name`` in the open folder ``place``: a file, a folder with all that is in it, or a btrfs subvolume.

    Nothing where it is not there. Raises OSError; EXDEV where another file system is mounted below.
    """
    levels: list[_Level] = []
    try:
        _begin(levels, place, name)
        while levels:
            level = levels[-1]
            if level.names:
                _begin(levels, level.folder, level.names.pop())
                continue
            os.close(levels.pop().folder)
            os.rmdir(level.name, dir_fd=level.place)
    finally:
        for level in levels:
            os.close(level.folder)


def _begin(levels: list[_Level], place: int, name: str) -> None:
    """Remove what is gone with one call; a folder is opened and put on the pile."""
    try:
        folder = os.open(name, FOLDER_FLAGS, dir_fd=place)
    except FileNotFoundError:
        return
    except OSError as refused:
        if refused.errno not in (errno.ENOTDIR, errno.ELOOP):  # open(2): a file, a link
            raise
        os.unlink(name, dir_fd=place)
        return
    try:
        subvolume = btrfs.is_subvolume(folder)
        if not subvolume:
            if os.fstat(folder).st_dev != os.fstat(place).st_dev:
                raise OSError(errno.EXDEV, "another file system is mounted there", name)
            levels.append(_Level(place, name, folder, names_in(folder)))
            return
    except BaseException:
        os.close(folder)
        raise
    os.close(folder)
    btrfs.delete(place, name)
