"""Watch whole file systems: one mark each, however many sets and folders are on it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time

from secondsite.files.watch import fanotify, queue
from secondsite.files.watch.fanotify import DELETE, MOVED_FROM, MOVED_TO, ONDIR, OVERFLOW, Told
from secondsite.files.watch.place import inside
from secondsite.files.watch.watched import Watched

PAUSE_SECONDS = 0.015  # between two reads while there is something to read: the kernel joins what is alike meanwhile
ELSEWHERE_SECONDS = 0.05  # where all of it was outside the sets, as of a database on the same file system
REMEMBERED = 50_000  # folders
_GONE = (errno.ESTALE, errno.ENOENT)
_AWAY = (errno.ENOENT, errno.ENOTDIR)  # of the set's own folder: no fault of this way of watching
_MOVED = MOVED_FROM | MOVED_TO
# A folder that came with its content, or one that went and may have been followed by another of its name: what was
# below it is told by paths that nobody finds any more.
_REPLACED = MOVED_FROM | MOVED_TO | DELETE

Known = tuple[tuple[Watched, bytes, bool], ...]  # set, folder in it, whether it is the folder itself


class FileSystems:
    """Reads what the kernel tells of every marked file system, and notes it in the journals of the sets there."""

    def __init__(self) -> None:
        """Raises OSError where the kernel does not allow it."""
        self._group = fanotify.open_group()
        self._views: dict[bytes, list[tuple[Watched, bytes]]] = {}  # by file system: sets, and a folder on the mount
        self._known: dict[bytes, Known] = {}  # by file system and handle
        self._roots: dict[bytes, int] = {}  # open only while something is read: nobody's umount shall wait for us
        self._marks = fanotify.marks(self._group)
        self._turn = asyncio.Lock()
        self._heard = False  # of something in a set
        self._seen_at = time.time()  # everything before that is in the journals

    def add(self, watched: Watched) -> None:
        """Watch the file systems of its place. Raises OSError where one of them cannot be; then none is."""
        assert watched.place is not None
        try:
            for root in watched.place.roots:
                fanotify.mark(self._group, root.path)
                self._views.setdefault(fanotify.file_system_of(root.path), []).append((watched, root.path))
        except OSError:
            self.remove(watched)
            raise
        self._known.clear()
        self._marks = fanotify.marks(self._group)

    def remove(self, watched: Watched) -> None:
        """Watch it no longer; a file system on which no set is left is let go of."""
        for key, views in list(self._views.items()):
            left = [each for each in views if each[0] is not watched]
            if not left and views:
                with contextlib.suppress(OSError):  # it may be gone, and another one in its place
                    if fanotify.file_system_of(views[0][1]) == key:
                        fanotify.unmark(self._group, views[0][1])
                del self._views[key]
            else:
                self._views[key] = left
        self._known.clear()
        self._marks = fanotify.marks(self._group)

    def look(self) -> None:
        """A file system that was unmounted takes its mark along and says nothing, even when it is back at once."""
        if fanotify.marks(self._group) != self._marks:
            self._marks = fanotify.marks(self._group)
            for watched in self._sets():
                watched.broken = True
                watched.lost("a file system was unmounted")

    async def run(self) -> None:
        """For ever."""
        while True:
            woke = await queue.told(self._group)
            async with self._turn:
                self._seen_at = max(self._seen_at, woke)
            while queue.waiting(self._group):
                self._heard = False
                await self.drained()
                await asyncio.sleep(PAUSE_SECONDS if self._heard else ELSEWHERE_SECONDS)

    async def drained(self) -> float:
        """Every change before the returned moment (unix seconds) is in the journals.

        The kernel gives no times. What was not there at the last look happened after it, so the time of that look is
        noted, or that at which this process was woken."""
        async with self._turn:
            since, self._seen_at = self._seen_at, time.time()
            left = fanotify.queued(self._group)
            try:
                while left > 0:
                    text = queue.read(self._group)
                    if not text:
                        break
                    left -= self._note(text, since)
                    await asyncio.sleep(0)
            finally:
                self._close_roots()
            for watched in self._sets():
                watched.journal.flush()
            return self._seen_at

    def _sets(self) -> set[Watched]:
        return {each for views in self._views.values() for each, _ in views}

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._group)

    def _note(self, text: bytes, at: float) -> int:
        """How many events were noted."""
        number = 0
        for number, event in enumerate(fanotify.told(text), 1):  # noqa: B007
            if event.mask & OVERFLOW:
                self._lost("the kernel's queue of changes overflowed")
                continue
            if event.mask & ONDIR and event.mask & _MOVED:
                self._known.clear()  # every path below it is another one now
                self._moved_above(event)
            key = event.file_system + event.handle
            known = self._known.get(key)
            if known is None:
                known = self._remember(key, event)
            self._heard = self._heard or bool(known)
            for watched, folder, own in known:
                if own:
                    watched.dirty(folder, event.name, at, tree=bool(event.mask & ONDIR and event.mask & _REPLACED))
                else:
                    watched.dirty(folder, b".", at, tree=True)
        return number

    def _remember(self, key: bytes, event: Told) -> Known:
        """In which sets the event's folder is, and where."""
        found, sure = [], True
        for watched, root in self._views.get(event.file_system, ()):
            try:
                place = self._locate(root, event.handle)
            except OSError as trouble:
                self._not_found(watched, trouble)
                sure = False
                continue
            folder = watched.relative(place[0]) if place is not None else None
            if place is not None and folder is not None and (watched, folder, place[1]) not in found:
                found.append((watched, folder, place[1]))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        known = tuple(found)
        if sure:
            self._known[key] = known
        return known

    def _moved_above(self, event: Told) -> None:
        """Where a set's folder, or one above it, was moved away for a moment, changes were told by another path."""
        for watched, root in self._views.get(event.file_system, ()):
            own = watched.place.path if watched.place is not None else b""
            if event.name not in own.split(b"/"):
                continue
            try:
                place = self._locate(root, event.handle)
            except OSError as trouble:
                self._not_found(watched, trouble)
                continue
            if place is not None and inside(own, place[0].rstrip(b"/") + b"/" + event.name) is not None:
                watched.lost("a folder above it was moved")

    def _not_found(self, watched: Watched, trouble: OSError) -> None:
        """Said once: the watcher begins the set anew."""
        if watched.broken:
            return
        watched.broken = True
        if trouble.errno not in _AWAY:
            watched.distrust = f"a changed folder could not be found: {trouble.strerror}"
        watched.lost(watched.distrust or "its folder is gone")

    def _locate(self, root: bytes, handle: bytes) -> tuple[bytes, bool] | None:
        """The folder's path; None where it is gone, which the folder above tells, too. Raises OSError."""
        if root not in self._roots:
            self._roots[root] = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            folder = fanotify.open_folder(self._roots[root], handle)
        except OSError as trouble:
            if trouble.errno in _GONE:
                return None
            raise
        try:
            return fanotify.path_of(folder)
        finally:
            os.close(folder)

    def _lost(self, reason: str) -> None:
        self._known.clear()
        for watched in self._sets():
            watched.lost(reason)

    def _close_roots(self) -> None:
        for handle in self._roots.values():
            os.close(handle)
        self._roots.clear()
