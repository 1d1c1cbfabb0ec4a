"""What is extra here and came within the hour: files that an application makes under another name first, for the most.

Their deletion counts against no budget, as in the stream. Only the moment at which a file was made here tells
(statx(2), STATX_BTIME): its other times follow the source's, or change with its mode. It says nothing of what was
here when all was guarded last; and a file that was rewritten is a new one, too, so as many of them count as were.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondsite.files.lately import SECONDS
from secondsite.files.rsync import command
from secondsite.files.rsync.irregular import Name, of_set, unescaped
from secondsite.files.rsync.output import Code
from secondsite.files.rsync.runner import run
from secondsite.files.stream.beneath import GONE, Root, available, split, valid
from secondsite.files.stream.exclude import understood

MOST = 10_000  # of more, all count: nobody makes so many under another name
_DELETED = re.compile(rb"^\*deleting   (.*?)/?\r?$", re.MULTILINE)
_LIBC = ctypes.CDLL(None, use_errno=True)
_EMPTY_PATH, _BTIME, _BTIME_AT = 0x1000, 0x800, 80  # AT_EMPTY_PATH; STATX_BTIME; of stx_btime (linux/stat.h)


@dataclass(frozen=True, slots=True)
class Passing:
    """names: what came within the hour, and is extra here. counting: how many of them may be older files that were
    rewritten, and count."""

    names: frozenset[Name] = frozenset()
    counting: int = 0

    @property
    def free(self) -> int:
        """How many count against no budget."""
        return len(self.names) - self.counting


def among(target: Path, names: Iterable[Name], patterns: Sequence[str], *, since: float, rewritten: int) -> Passing:
    """Of these paths, which may be no part of the set at all. since: what was here then is guarded (unix
    seconds). rewritten: files within the hour. Raises OSError."""
    if not available() or not understood(patterns):
        return Passing()
    excludes, now, came = of_set(patterns), time.time(), set[Name]()
    with Root(str(target)) as root:
        for path in names:
            if not path or not valid(path) or path.split(b"/")[-1] == command.PARTIAL.encode():
                continue
            try:
                with root.opened(path) as handle:
                    folder, at = stat.S_ISDIR(os.fstat(handle).st_mode), _born(handle)
            except OSError as failed:
                if failed.errno in GONE:
                    continue
                raise
            # The source can have rsync print a name of its choice, and what the set leaves out is not ours to remove.
            if at is not None and max(since, now - SECONDS) < at <= now and not excludes.excluded(path, folder=folder):
                came.add(path)
    return Passing(frozenset(came), min(len(came), rewritten))


async def extra(source: str, target: Path, patterns: Sequence[str], *, seconds: float) -> list[Name]:
    """What is here and not at the source, as rsync lists it; nothing where it could not, or where there is too much of
    it. Raises FinalError, OSError."""
    found: list[Name] = []

    def read(lines: bytes) -> bool:
        found.extend(unescaped(path) for path in _DELETED.findall(lines))
        return len(found) <= MOST

    argv = command.compare(source, target, exclude=patterns, content=False)
    ended = await run(argv, seconds=seconds, writable=(), go_on=read)
    return found if ended.code in (Code.OK, Code.VANISHED) and len(found) <= MOST else []


def folders(target: Path, names: Collection[Name]) -> int:
    """How many of these names are folders here; without names, how many folders there are. Raises OSError."""
    if not names or not available():
        return sum(len(folders) for _, folders, _ in os.walk(target))
    count = 0
    with Root(str(target)) as root:
        for path in set(names):
            if path and valid(path):
                with contextlib.suppress(OSError), root.opened(path) as handle:
                    count += stat.S_ISDIR(os.fstat(handle).st_mode)
    return count


def remove(target: Path, names: Iterable[Name], may: Callable[[], None]) -> int:
    """Of these names what is there, and a folder only where it is empty by then; how many went. may: raises Taken once
    nothing may be removed any more. Raises OSError."""
    gone = 0
    with Root(str(target)) as root:
        for path in sorted(names, key=lambda one: one.count(b"/"), reverse=True):
            parent, name = split(path)
            try:
                with root.opened(parent, os.O_PATH | os.O_DIRECTORY) as folder:
                    here = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    may()
                    (os.rmdir if stat.S_ISDIR(here.st_mode) else os.unlink)(name, dir_fd=folder)
            except OSError as failed:
                if failed.errno not in (*GONE, errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                gone += 1
    return gone


def _born(handle: int) -> float | None:
    """When it was made here (unix seconds); None where the file system does not say."""
    room = ctypes.create_string_buffer(256)  # struct statx
    if _LIBC.statx(handle, b"", _EMPTY_PATH, _BTIME, room) != 0:
        return None
    (told,), (seconds, nanoseconds) = struct.unpack_from("=I", room), struct.unpack_from("=qI", room, _BTIME_AT)
    return seconds + nanoseconds / 1e9 if told & _BTIME else None
