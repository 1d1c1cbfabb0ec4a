"""What rsync does not compare: which names are one file, and how much room a file takes. Asked at both sites."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from secondsite.events import Event, Progress
from secondsite.files.versions.place import Folder
from secondsite.files.versions.version import Keeping
from secondsite.files.versions.walk import FOLDER_FLAGS, walk

MOST = 5000  # paths that one question may name
SLACK_BYTES = 1_000_000  # file systems round up, and allocate ahead
Fact = Sequence[Any]  # size, mtime in ns, bytes of room, "device:inode"


def facts(_keeping: Keeping, folder: Folder, order: Mapping[str, Any], say: Callable[[Event], None]) -> dict[str, Any]:
    """order: {paths} of regular files, or {sample, seed} to have so many drawn here, those that are one file together.

    Answers {files, facts{path: [size, mtime_ns, room, inode]}}; what is not there is left out. files: how many the set
    has, where it was gone through.
    """
    root = os.open(os.path.realpath(folder.path), FOLDER_FLAGS)
    try:
        if "paths" in order:
            found = {path: fact for path in order["paths"][:MOST] if (fact := _fact(root, path)) is not None}
            return {"files": None, "facts": found}
        return _sample(root, folder.name, int(order["sample"]), int(order["seed"]), say)
    finally:
        os.close(root)


def _sample(root: int, name: str, most: int, seed: int, say: Callable[[Event], None]) -> dict[str, Any]:
    """A draw of single files, and half as many again of those with several names. Which are which, a first look tells:
    versions share files with the set, so that a number of links says nothing."""
    draw, singles, inodes, count = random.Random(seed), list[str](), dict[int, list[str]](), 0
    for seen in walk(root):
        if not stat.S_ISREG(seen.stat.st_mode):
            continue
        count += 1
        if count % 1000 == 0:
            say(Progress(f"choose files of {name}", count, None, "files"))
        if seen.stat.st_nlink > 1:
            inodes.setdefault(seen.stat.st_ino, []).append(seen.path)
        if len(singles) < most:
            singles.append(seen.path)
        elif (place := draw.randrange(count)) < most:
            singles[place] = seen.path
    several = sorted(names for names in inodes.values() if len(names) > 1)
    draw.shuffle(several)
    chosen = dict.fromkeys(singles)
    for names in several:
        if len(chosen) + len(names) > most + most // 2:
            break
        chosen.update(dict.fromkeys(names))
    return {"files": count, "facts": {path: fact for path in sorted(chosen) if (fact := _fact(root, path)) is not None}}


def _fact(root: int, path: str) -> Fact | None:
    """None where it is not there, or no file any more."""
    try:
        with _above(root, path) as (folder, name):
            seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (OSError, ValueError):  # a zero byte in what the other site names
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return [seen.st_size, seen.st_mtime_ns, seen.st_blocks * 512, f"{seen.st_dev}:{seen.st_ino}"]


@contextmanager
def _above(root: int, path: str) -> Iterator[tuple[int, str]]:
    """The open folder of a path, step by step: the other site names it, and no link may lead out of the set."""
    *parts, name = path.split("/")
    if name in ("", ".", "..") or any(part in ("", ".", "..") for part in parts):
        raise FileNotFoundError(path)
    folder = os.dup(root)
    try:
        for part in parts:
            inner = os.open(part, FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder, name
    finally:
        os.close(folder)


def wrong(here: Mapping[str, Fact], there: Mapping[str, Fact]) -> tuple[list[str], list[str]]:
    """Pure: paths whose hard links differ, and paths that take up holes the source has, among those that are the same
    in size and time at both sites: another one has changed meanwhile."""
    same = [path for path, fact in here.items() if path in there and list(fact[:2]) == list(there[path][:2])]
    links = sorted({*_apart(same, here, there), *_apart(same, there, here)})
    filled = [
        path
        for path in same
        if there[path][2] + SLACK_BYTES < there[path][0] and here[path][2] > there[path][2] + SLACK_BYTES
    ]
    return links, filled


def _apart(same: Sequence[str], one: Mapping[str, Fact], other: Mapping[str, Fact]) -> Iterator[str]:
    """Names that are one file in ``one`` and not in ``other``."""
    first: dict[str, str] = {}
    for path in same:
        known = first.setdefault(str(one[path][3]), path)
        if other[known][3] != other[path][3]:
            yield path
