"""One watched set: where it is, its journal, and how well it is watched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from secondsite.files.rsync.command import PARTIAL
from secondsite.files.stream.entry import TEMPORARY
from secondsite.files.watch.journal import DirtyJournal
from secondsite.files.watch.place import Place, inside

_PARTIAL = PARTIAL.encode()


class Kind(StrEnum):
    """How a set is watched. NOT: nothing is known of changes, and whoever follows must compare in full."""

    FANOTIFY = "fanotify"
    INOTIFY = "inotify"
    STARTING = "starting"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class WatchedSet:
    """What is to be watched. mount: the mount point that the folder belongs to; None where nobody has noted it. inner:
    those inside it without which it is not whole."""

    name: str
    path: bytes
    mount: bytes | None = None
    inner: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """kind: how the set is watched now. problem: why not, or why not better. overflows: how often changes were lost
    since this process has begun."""

    kind: Kind
    problem: str | None
    overflows: int

    @property
    def watching(self) -> bool:
        """Whether every change is seen."""
        return self.kind in (Kind.FANOTIFY, Kind.INOTIFY)


class Watched:
    """A set while it is watched. place: None while it is not there."""

    def __init__(self, wanted: WatchedSet, journal: DirtyJournal) -> None:
        self.wanted = wanted
        self.journal = journal
        self.place: Place | None = None
        self.kind = Kind.NOT
        self.problem: str | None = None
        self.broken = False  # it has to be begun anew: what is watched is not the set any more
        self.distrust: str | None = None  # why the file system's own word is not taken for this set any more
        self.overflows = 0

    def health(self) -> Health:
        """As it is now."""
        return Health(self.kind, self.problem, self.overflows)

    def relative(self, path: bytes) -> bytes | None:
        """A folder's absolute path relative to the set; None where it is outside, or ours."""
        found = inside(path, self.place.path) if self.place is not None else None
        return None if found is not None and self.is_ours(found) else found

    @staticmethod
    def is_ours(folder: bytes) -> bool:
        """Whether a folder of the set is, or is in, one that an unfinished transfer has made: never copied."""
        return _PARTIAL in folder.split(b"/")

    def dirty(self, folder: bytes, name: bytes, at: float, *, tree: bool = False) -> None:
        """Something happened to ``name`` in ``folder``, which is relative to the set; ``b"."`` is the folder itself."""
        if name == b".":
            self.journal.add(folder, at, tree=tree)
        elif name != _PARTIAL and not name.startswith(TEMPORARY):
            self.journal.add(folder + b"/" + name if folder else name, at, tree=tree)

    def lost(self, reason: str) -> None:
        """Changes may have been missed."""
        self.overflows += 1
        self.journal.renew(reason)
