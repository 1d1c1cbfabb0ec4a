"""Watch one set folder by folder, where its file system cannot be watched as a whole (btrfs subvolumes, overlayfs).

A new folder is watched only some moments after it was made, so all that is below it counts as dirty. Watches come
first, then the note of it: whoever looks because of the note sees either the change itself or a later note.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Iterator

from secondsite.files.stream.beneath import openat2
from secondsite.files.watch import inotify, queue
from secondsite.files.watch.inotify import CREATE, DELETE, IGNORED, ISDIR, MOVED_FROM, MOVED_TO, OVERFLOW, UNMOUNT, Told
from secondsite.files.watch.watched import Kind, Watched

PAUSE_SECONDS = 0.015
AT_ONCE = 64  # folders, before others have a turn
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
_NOT_AT_ONCE = (errno.ENAMETOOLONG, errno.ENOSYS, errno.EPERM)  # a long path; no openat2 here, or none allowed


class Folders:
    """Watches every folder of one set."""

    def __init__(self, watched: Watched) -> None:
        """Raises OSError."""
        assert watched.place is not None
        self._watched = watched
        self._root = watched.place.path
        self._queue = inotify.open_queue()
        self._folders: dict[int, bytes] = {}  # by watch, relative to the set
        self._turn = asyncio.Lock()
        self._seen_at = time.time()
        self._incomplete = asyncio.Event()
        self._incomplete.set()
        self._broken: OSError | None = None

    async def run(self) -> None:
        """For ever. Raises OSError where a folder cannot be watched (ENOSPC: too many watches)."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._keep_complete())

    async def drained(self) -> float:
        """Every change before the returned moment (unix seconds) is in the journal, as far as it is watched."""
        async with self._turn:
            since, self._seen_at = self._seen_at, time.time()
            try:
                await self._read_what_is_there(since)
            except OSError as trouble:  # told by run(), whoever happens to ask now
                self._broken = self._broken or trouble
                self._watched.lost(f"it cannot be watched any more: {trouble.strerror}")
                self._watched.kind = Kind.NOT
                self._incomplete.set()
            self._watched.journal.flush()
            return self._seen_at

    async def _read_what_is_there(self, since: float) -> None:
        left = queue.waiting(self._queue)
        while left > 0:
            text = queue.read(self._queue)
            if not text:
                break
            left -= len(text)
            for event in inotify.told(text):
                await _in_turns(self._note(event, since))
            await asyncio.sleep(0)

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._queue)

    async def _read(self) -> None:
        while True:
            woke = await queue.told(self._queue)
            async with self._turn:
                self._seen_at = max(self._seen_at, woke)
            while queue.waiting(self._queue):
                await self.drained()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _keep_complete(self) -> None:
        """Watch every folder, at first and whenever changes were lost; only then the journal can be trusted."""
        while True:
            await self._incomplete.wait()
            self._incomplete.clear()
            if self._broken is not None:
                raise self._broken
            self._watched.kind = Kind.STARTING
            await _in_turns(self._watch_all(b""))
            if not self._incomplete.is_set():  # nothing was lost meanwhile
                self._watched.journal.renew("every folder is watched from now on")
                self._watched.kind = Kind.INOTIFY

    def _note(self, event: Told, at: float) -> Iterator[None]:
        if event.mask & OVERFLOW:
            self._watched.lost("the kernel's queue of changes overflowed")
            self._watched.kind = Kind.STARTING
            self._incomplete.set()
            return
        if event.mask & UNMOUNT:
            raise OSError(errno.ENODEV, "a file system was unmounted")
        if event.mask & IGNORED:
            if self._folders.pop(event.watch, None) == b"":
                raise OSError(errno.ENOENT, "its folder is gone")
            return
        folder = self._folders.get(event.watch)
        if folder is None or self._watched.is_ours(folder):
            return
        path = folder + b"/" + event.name if folder else event.name
        if event.mask & ISDIR and event.mask & MOVED_FROM:
            self._forget_below(path)
        new = bool(event.mask & ISDIR and event.mask & (CREATE | MOVED_TO))
        if new:
            yield from self._watch_all(path)
        gone = bool(event.mask & ISDIR and event.mask & (DELETE | MOVED_FROM))  # and another may have its name now
        self._watched.dirty(folder, event.name or b".", at, tree=new or gone)

    def _watch_all(self, top: bytes) -> Iterator[None]:
        """Watch ``top`` and every folder below it, each before it is listed. Raises OSError."""
        left, root = [top], os.open(self._root, _FOLDER)
        try:
            while left:
                path = left.pop()
                try:
                    folder = open_folder(root, path)
                except OSError as gone:
                    if gone.errno in _GONE and path:
                        continue  # whoever has moved it is told of, too
                    raise
                try:
                    self._folders[inotify.watch(self._queue, folder)] = path
                    with os.scandir(folder) as entries:
                        names = [os.fsencode(each.name) for each in entries if each.is_dir(follow_symlinks=False)]
                finally:
                    os.close(folder)
                left += [path + b"/" + name if path else name for name in names]
                yield
        finally:
            os.close(root)

    def _forget_below(self, path: bytes) -> None:
        """A folder was moved away; where it went is told next, and it is watched anew there."""
        inside = path + b"/"
        for number in [each for each, at in self._folders.items() if at == path or at.startswith(inside)]:
            inotify.forget(self._queue, number)
            del self._folders[number]


def open_folder(root: int, path: bytes) -> int:
    """A folder of the set by the path that it has now, however long that is. Raises OSError.

    In one call where that can be: name by name took most of the time until a set of many folders is watched.
    """
    try:
        return openat2(root, path, _FOLDER)
    except OSError as refused:
        if refused.errno not in _NOT_AT_ONCE:
            raise
    here = os.dup(root)
    for name in path.split(b"/") if path else ():
        try:
            below = os.open(name, _FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


async def _in_turns(steps: Iterator[None]) -> None:
    """Take every step, and let others have their turn in between."""
    for number, _ in enumerate(steps):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
