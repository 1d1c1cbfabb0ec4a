"""Bring a version, or a part of one, into a new folder of this host, with every attribute."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError
from secondsite.events import Event, Progress
from secondsite.files.versions import btrfs, look
from secondsite.files.versions.copy import copy_file
from secondsite.files.versions.entry import FILE, FOLDER, LINK, Entry, put
from secondsite.files.versions.place import Folder
from secondsite.files.versions.version import Keeping, Opened
from secondsite.files.versions.walk import FOLDER_FLAGS

Say = Callable[[Event], None]
SPARE_SHARE = 0.05  # of the file system stays free
SHOWN = 100  # of what could not be restored, by name


@dataclass(slots=True)
class Counted:
    """What a restore comes to. lost: paths whose content is not surely that of the version any more."""

    files: int = 0
    folders: int = 0
    links: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)


def restore(keeping: Keeping, folder: Folder, order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """order: {at, id, path, to, room, dry_run, promotions}. to: a folder that does not exist, or is empty. room: the
    folder that it lies in, where that is to be made.

    Answers {set, folder, version, path, to, files, folders, links, bytes, lost, lost_count, dry_run}. Raises FinalError
    (``no-such-version``, ``no-such-path``, ``restore-in-the-way``, ``restore-no-room``), OSError; a folder that is half
    filled stays then, and is named.
    """
    path = look.relative(folder, order.get("path") or "")
    version = look.picked(keeping.list(), folder.name, at=order.get("at"), id=order.get("id"))
    to = Path(order["to"])
    keeping.refuse(to)
    with keeping.open(version) as opened:
        planned = planned_of(opened, path, order["promotions"])
        if not planned.files + planned.folders + planned.links:
            raise FinalError(
                f"version {version.id} of {folder.name} has no {path}",
                slug="no-such-path",
                hint=f"secondsite files list {folder.name} --path PATH says when it was there",
            )
        if not order.get("dry_run"):
            if order.get("room") == str(to.parent):
                to.parent.mkdir(mode=0o700)
            _make_way(to)
            _enough_room(to, planned.bytes)
            fill(opened, path, to, order["promotions"], lambda done: say(_progress(folder.name, done, planned.bytes)))
    return {
        "set": folder.name,
        "folder": str(folder.path),
        "version": look.told(version),
        "path": path,
        "to": str(to),
        "files": planned.files,
        "folders": planned.folders,
        "links": planned.links,
        "bytes": planned.bytes,
        "lost": planned.lost[:SHOWN],
        "lost_count": len(planned.lost),
        "dry_run": bool(order.get("dry_run")),
    }


def planned_of(opened: Opened, path: str, promotions: int) -> Counted:
    """What there is to restore; nothing is written."""
    planned = Counted()
    for entry in opened.entries(path):
        if entry.kind == FILE and not _sure(opened, entry, promotions):
            planned.lost.append(entry.path)
        elif entry.kind == FILE:
            planned.files += 1
            planned.bytes += entry.size if entry.group is None else 0
        else:
            planned.folders += entry.kind == FOLDER
            planned.links += entry.kind == LINK
    return planned


def fill(opened: Opened, path: str, to: Path, promotions: int, written: Callable[[int], None]) -> None:
    """Fill the new folder ``to``: for us alone until all is there. Attributes of folders come last, the deepest first,
    because filling one changes its time. Raises OSError."""
    target = os.open(to, FOLDER_FLAGS)
    folders: list[Entry] = []
    firsts: dict[str, str] = {}  # of names that are one file: the one that was restored first
    done = 0
    try:
        for entry in opened.entries(path, ancestors=True):
            if entry.kind == FOLDER:
                if entry.path:
                    os.mkdir(entry.path, 0o700, dir_fd=target)
                folders.append(entry)
            elif entry.kind == LINK:
                assert entry.target is not None
                os.symlink(entry.target, entry.path, dir_fd=target)
                put(entry, target, entry.path)
            elif _sure(opened, entry, promotions):
                first = firsts.setdefault(entry.group or entry.path, entry.path)
                if first != entry.path:
                    os.link(first, entry.path, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=False)
                    continue
                copy_file(opened.root, entry.path, target, entry.path)
                put(entry, target, entry.path)
                done += entry.size
                written(done)
        for entry in reversed(folders):
            put(entry, target, entry.path or ".")
        os.fsync(target)
    finally:
        os.close(target)


def _sure(opened: Opened, entry: Entry, promotions: int) -> bool:
    """Whether the content is there, and surely that of the version."""
    try:
        seen = os.stat(entry.path, dir_fd=opened.root, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return opened.untouched(entry, seen, promotions=promotions)


def _make_way(to: Path) -> None:
    """A new folder for us alone. What stands there is not touched."""
    try:
        to.mkdir(mode=0o700)
    except FileExistsError:
        if to.is_symlink() or not to.is_dir() or any(to.iterdir()):
            raise FinalError(
                f"{to} is there already and not an empty folder; nothing is written over it",
                slug="restore-in-the-way",
                hint="name another folder with --to",
            ) from None
    except FileNotFoundError as missing:
        raise FinalError(
            f"{to.parent} does not exist", slug="restore-in-the-way", hint="make it, or name another folder with --to"
        ) from missing


def _enough_room(to: Path, needed: int) -> None:
    handle = os.open(to, FOLDER_FLAGS)
    try:
        shared = btrfs.reflinks(handle)
    finally:
        os.close(handle)
    seen = os.statvfs(to)
    free = seen.f_bavail * seen.f_frsize - int(SPARE_SHARE * seen.f_blocks * seen.f_frsize)
    if not shared and needed > free:
        raise FinalError(
            f"{needed} bytes are to be restored, and {to} has room for {max(0, free)}",
            slug="restore-no-room",
            hint="name a folder on another disk with --to, or restore a part",
        )


def _progress(name: str, done: int, total: int) -> Progress:
    return Progress(f"restore {name}", done, total)
