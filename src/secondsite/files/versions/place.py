"""Where versions lie: beside the set's folder on the same file system, in a folder that belongs to root alone.

``.secondsite-versions/NAME/UTC-random/`` holds the marker, the manifest and the tree. Never inside the set's folder:
what is in there is offered to the other site, and the application writes there.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

from secondsite.errors import FinalError
from secondsite.files.versions.walk import FOLDER_FLAGS

FOLDER = ".secondsite-versions"
OFFERED = ".offered"  # what the other site is to fetch, by the number of the offer
MAKING, REMOVING = ".making-", ".removing-"
TREE = "tree"
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class Located(Protocol):
    """What is needed of a file set: its name and its folder."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> PurePath: ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A set as another process of ours is told it."""

    name: str
    path: PurePath


def home(fileset: Located) -> Path:
    """The folder of the set's versions. It need not be there."""
    return Path(os.path.realpath(fileset.path)).parent / FOLDER / fileset.name


def new_id(at: float) -> str:
    """UTC and random: two of one second differ, and no local hour comes twice."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}-{secrets.token_hex(4)}"


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """The open folder, checked to be ours: what others may write into could be made to lead us astray.

    Raises FinalError (``versions-not-ours``), FileNotFoundError where it is not there.
    """
    handle = os.open(folder, FOLDER_FLAGS)
    try:
        seen = os.fstat(handle)
        if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
            raise FinalError(
                f"{folder} may be used by others than root, so nothing is written or removed there",
                slug="versions-not-ours",
                step="keep versions",
                hint=f"look at who made it; then chown root: {folder} and chmod 700 {folder}",
            )
        yield handle
    finally:
        os.close(handle)


def made(fileset: Located) -> Path:
    """The set's home, made where it is not there yet.

    Raises FinalError (``versions-no-place``) where beside the folder is another file system, which can hold no links
    of its files, no shared blocks and no snapshot.
    """
    folder = Path(os.path.realpath(fileset.path))
    if _mount(folder) != _mount(folder.parent):
        raise FinalError(
            f"{folder} is a mount point of its own: beside it is another file system, which can keep no version",
            slug="versions-no-place",
            step="keep versions",
            hint=f"let the set be a folder in that file system, like {folder}/data",
        )
    return kept(fileset)


def kept(fileset: Located) -> Path:
    """The set's home, made where it is not there yet, on whatever file system: for what is only shown there.

    Raises FinalError (``versions-not-ours``).
    """
    place = home(fileset)
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    for each in (place.parent, place):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=0o700)
        with opened(each):
            pass
    return place


def _mount(folder: Path) -> str:
    """The number of the mount that a folder is reached through (proc(5), fdinfo). A btrfs subvolume that is no mount
    has that of the folder above it, although ``os.path.ismount`` says otherwise."""
    handle = os.open(folder, FOLDER_FLAGS)
    try:
        told = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
        return next(line.split()[1] for line in told if line.startswith("mnt_id:"))
    finally:
        os.close(handle)
