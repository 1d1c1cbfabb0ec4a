"""A version of a file set: what its marker says, and the port behind which versions are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from secondsite.files.versions.entry import Entry
from secondsite.files.versions.retention import Mark

MARKER = "version.json"
FORMAT = 1
Report = Callable[[str, int, int | None], None]  # what is being done, how many entries, of how many


@dataclass(frozen=True, slots=True)
class Version:
    """id: UTC and random, the name of its folder. number: grows with each version of the set. kind: snapshot (btrfs),
    reflink, links or zfs. made_at: unix seconds by this host's clock. complete_at: the source's moment up to which it
    holds everything; None where that is unknown. entries, bytes, digest: of its manifest; no ZFS counts entries.
    promotions: how often this site had become the original by then; a version of links may have been written into
    since, where that has grown. snapshot: its full name, by ZFS.
    """

    id: str
    set: str
    number: int
    kind: str
    made_at: float
    complete_at: float | None
    entries: int | None
    bytes: int
    digest: str
    promotions: int = 0
    format: int = FORMAT
    snapshot: str | None = None

    @property
    def mark(self) -> Mark:
        return Mark(self.number, self.made_at)

    @property
    def as_of(self) -> float:
        """The moment whose files it holds (unix seconds)."""
        return self.complete_at if self.complete_at is not None else self.made_at

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1)


def read(text: str) -> Version:
    """From a marker. Raises ValueError where it is none, or one of a later program."""
    body = json.loads(text)
    try:
        version = Version(**{key: value for key, value in body.items() if key in Version.__slots__})
    except (TypeError, AttributeError) as strange:
        raise ValueError(f"no marker of a version: {text[:80]!r}") from strange
    if version.format > FORMAT:
        raise ValueError(f"the marker of {version.id} is of a later program")
    return version


class Opened(Protocol):
    """A version to read from; it is not removed as long as it is open. root: descriptor of its top folder."""

    @property
    def root(self) -> int: ...

    @property
    def version(self) -> Version: ...

    def entries(self, path: str = "", *, ancestors: bool = False) -> Iterator[Entry]:
        """What it holds at and below ``path``, each folder before its content; ancestors: the folders above, too."""

    def untouched(self, entry: Entry, seen: os.stat_result, *, promotions: int) -> bool:
        """Whether the content that is read there is surely that of the version."""


class Keeping(Protocol):
    """One way of keeping versions of one set. All calls are made by one process, outside the event loop.

    What each fills: ``make`` (None where nothing has changed since the newest), ``list`` (the oldest first), ``remove``
    (only what is ours; False where somebody reads it), ``open``; ``now``: the open folder of the set as it is;
    ``home``: the folder beside the set, made; ``lend``: show a whole version in a folder until ``take_back`` (False
    where it has to be copied there); ``refuse``: raises where nothing may be restored into a folder.
    """

    def make(self, *, made_at: float, complete_at: float | None, promotions: int, report: Report) -> Version | None: ...

    def list(self) -> tuple[Version, ...]: ...

    def remove(self, version: Version, report: Report) -> bool: ...

    def open(self, version: Version) -> AbstractContextManager[Opened]: ...

    def home(self) -> Path: ...

    def now(self) -> AbstractContextManager[int]: ...

    def lend(self, version: Version, to: Path) -> bool: ...

    def take_back(self, to: Path) -> bool: ...

    def refuse(self, to: Path) -> None: ...
