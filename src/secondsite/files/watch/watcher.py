"""Watch every set as well as its file system allows, and say how well that is."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from secondsite.files.watch.by_folder import Folders
from secondsite.files.watch.journal import DirtyJournal
from secondsite.files.watch.place import Place, place_of
from secondsite.files.watch.watched import Health, Kind, Watched, WatchedSet
from secondsite.files.watch.wholly import FileSystems

LOOK_SECONDS = 1.0
RETRY_SECONDS = 60.0  # after which a set that could not be watched is tried again
_WHY = {
    errno.EXDEV: "a btrfs subvolume",
    errno.EOPNOTSUPP: "its file system gives no handles",
    errno.ENODEV: "its file system has no identifier",
    errno.EPERM: "the kernel does not allow it",
    errno.ENOSPC: "too many folders: raise fs.inotify.max_user_watches",
    errno.EMFILE: "too many watchers: raise fs.inotify.max_user_instances",
}


_LIMITS = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Watcher:
    """Keeps the journal of each set. A set that cannot be watched is a state, with its reason, and is tried again."""

    def __init__(self, sets: Sequence[WatchedSet], journals: Path) -> None:
        """journals: the folder of their files. Raises OSError."""
        self._sets = {each.name: Watched(each, DirtyJournal(journals / f"{each.name}.journal")) for each in sets}
        self._wholly: FileSystems | None = None
        self._why_not_wholly = ""
        self._folders: dict[str, tuple[Folders, asyncio.Task[None]]] = {}
        self._tried_at: dict[str, float] = {}
        self._left_at = float("-inf")

    @property
    def journals(self) -> Mapping[str, DirtyJournal]:
        """By set."""
        return {name: each.journal for name, each in self._sets.items()}

    def health(self, name: str) -> Health:
        """How well a set is watched now. Raises KeyError."""
        return self._sets[name].health()

    async def run(self) -> None:
        """For ever."""
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    self._wholly = FileSystems()
                    group.create_task(self._wholly.run())
                except OSError as refused:
                    self._why_not_wholly = _words(refused)
                while True:
                    if time.monotonic() - self._left_at > LOOK_SECONDS / 2:  # who asks has this looked at, too
                        self._leave_what_has_changed()
                    for watched in self._sets.values():
                        self._look(watched, group)
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._close()

    async def drained(self) -> float:
        """Every change that happened before the returned moment (unix seconds) is in the journals, of those sets whose
        health is watching; a folder that was put in the place of another is a new epoch by then."""
        moment = time.time()
        self._leave_what_has_changed()
        moments = [moment] if self._wholly is None else [moment, await self._wholly.drained()]
        for folders, _ in list(self._folders.values()):
            moments.append(await folders.drained())
        return min(moments)

    def _look(self, watched: Watched, group: asyncio.TaskGroup) -> None:
        due = time.monotonic() - self._tried_at.get(watched.wanted.name, -RETRY_SECONDS) >= RETRY_SECONDS
        if watched.kind is Kind.NOT and (watched.place is None or due):
            self._begin(watched, group)

    def _begin(self, watched: Watched, group: asyncio.TaskGroup) -> None:
        name = watched.wanted.name
        place, problem = _place(watched)
        if place is None:
            watched.problem = problem
            return
        watched.place = place
        self._tried_at[name] = time.monotonic()
        watched.problem = watched.distrust or self._why_not_wholly or None
        if watched.distrust is None and self._wholly is not None:
            try:
                self._wholly.add(watched)
                watched.kind, watched.problem = Kind.FANOTIFY, None
                watched.journal.renew("the file system is watched from now on")
                return
            except OSError as refused:
                watched.problem = _words(refused)
        try:
            folders = Folders(watched)
        except OSError as refused:
            watched.problem = _words(refused)
            return
        watched.kind = Kind.STARTING
        self._folders[name] = (folders, group.create_task(self._by_folder(watched, folders)))

    async def _by_folder(self, watched: Watched, folders: Folders) -> None:
        try:
            await folders.run()
        except* OSError as refused:
            leaf = refused.exceptions[0]
            watched.problem = _words(leaf) if isinstance(leaf, OSError) else str(leaf)
            watched.kind = Kind.NOT
            watched.broken = not isinstance(leaf, OSError) or leaf.errno not in _LIMITS
            watched.journal.renew(f"it cannot be watched: {watched.problem}")
        finally:
            if self._folders.get(watched.wanted.name, (None,))[0] is folders:
                del self._folders[watched.wanted.name]
            folders.close()

    def _leave_what_has_changed(self) -> None:
        """Another folder, or another file system, where a set was: nothing that was seen before counts."""
        self._left_at = time.monotonic()
        if self._wholly is not None:
            self._wholly.look()
        for watched in self._sets.values():
            if watched.place is None:
                continue
            place, problem = _place(watched)
            if watched.broken:
                self._leave(watched)
                watched.problem = problem or watched.problem
            elif place != watched.place:
                self._leave(watched)
                watched.problem = problem
                watched.lost(problem or "another folder or file system is in its place")

    def _leave(self, watched: Watched) -> None:
        if watched.kind is Kind.FANOTIFY and self._wholly is not None:
            self._wholly.remove(watched)
        running = self._folders.pop(watched.wanted.name, None)
        if running is not None:
            running[1].cancel()
        watched.kind, watched.place, watched.broken = Kind.NOT, None, False

    def _close(self) -> None:
        if self._wholly is not None:
            self._wholly.close()
        for watched in self._sets.values():
            watched.kind = Kind.NOT
            watched.journal.close()


def _place(watched: Watched) -> tuple[Place | None, str | None]:
    """Where it is, or why it is nowhere."""
    try:
        return place_of(watched.wanted.path, watched.wanted.mount, watched.wanted.inner), None
    except OSError as trouble:
        return None, trouble.strerror or str(trouble)


def _words(refused: OSError) -> str:
    """Why the kernel does not watch as it was asked to."""
    return _WHY.get(refused.errno or 0, refused.strerror or str(refused))
