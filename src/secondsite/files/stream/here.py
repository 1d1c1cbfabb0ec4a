"""At the standby: what is here before a batch changes anything. Each path is looked at once, from its folder."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from secondsite.files.stream.beneath import GONE, Root, openat2, split
from secondsite.files.stream.content import holds
from secondsite.files.stream.entry import Entry

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
_NOTHING = (*GONE, errno.ENAMETOOLONG)


class Here:
    """Remembers what it has seen, so it is good only as long as nothing is changed."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._seen: dict[bytes, os.stat_result | None] = {}
        self._folder: tuple[bytes, int | None] | None = None

    def __enter__(self) -> Here:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    def stat(self, path: bytes) -> os.stat_result | None:
        """What is at ``path``, a link itself; None where nothing is. Raises OSError."""
        if path not in self._seen:
            self._seen[path] = self._look(path)
        return self._seen[path]

    def holds(self, path: bytes, entry: Entry) -> bool:
        """Whether the regular file at ``path``, of the entry's size, holds what comes inline with it."""
        parent, name = split(path)
        folder = self._at(parent)
        if folder is None:
            return False
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError as failed:
            if failed.errno in _NOTHING:
                return False
            raise
        try:
            return holds(handle, entry)
        finally:
            os.close(handle)

    def target(self, path: bytes) -> bytes | None:
        """Where the link at ``path`` leads to; None where none is there by now. Raises OSError."""
        parent, name = split(path)
        folder = self._at(parent)
        if folder is None:
            return None
        try:
            return os.readlink(name, dir_fd=folder)
        except OSError as failed:
            if failed.errno in (*_NOTHING, errno.EINVAL):
                return None
            raise

    def _look(self, path: bytes) -> os.stat_result | None:
        if not path:
            return os.fstat(self._root.handle)
        parent, name = split(path)
        folder = self._at(parent)
        if folder is None:
            return None
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as failed:
            if failed.errno in _NOTHING:
                return None
            raise

    def _at(self, parent: bytes) -> int | None:
        """The folder, beneath the set's; None where there is none. The last one is kept open: most paths of a batch lie
        in the folder of the one before."""
        if self._folder is None or self._folder[0] != parent:
            self._leave()
            try:
                self._folder = parent, openat2(self._root.handle, parent, _FOLDER)
            except OSError as failed:
                if failed.errno not in _NOTHING:
                    raise
                self._folder = parent, None
        return self._folder[1]

    def _leave(self) -> None:
        if self._folder is not None and self._folder[1] is not None:
            os.close(self._folder[1])
        self._folder = None
