"""Files and folders that are wholly ours."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge import manifest
from secondsite.converge.diff import unified
from secondsite.converge.resource import Change
from secondsite.converge.write import aside, atomically, ids
from secondsite.events import Emit, Note
from secondsite.spec import paths


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file whose whole content the file determines.

    secret: the content never shows in a plan. secrets: values masked in the diff. disrupts: what a user of the
    service notices when it changes.
    """

    path: Path
    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str | None = None
    secret: bool = False
    secrets: tuple[str, ...] = ()
    disrupts: str | None = None

    @property
    def name(self) -> str:
        return f"file {self.path}"

    async def plan(self) -> Change | None:
        """What differs in content, mode or owner."""
        found = read(self.path)
        if found is None:
            return Change("create", self._diff(b""), self.disrupts)
        if found != self.content.encode():
            ours = manifest.recorded(self.path) is not None
            what = "update" if ours else f"replace a file that is not ours (it is moved to {paths.ASIDE})"
            return Change(what, self._diff(found), self.disrupts)
        wrong = wrong_access(self.path, self.mode, self.owner, self.group)
        return Change(wrong) if wrong else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it; what stood there and is not ours is moved aside first."""
        content = self.content.encode()
        found = read(self.path)
        if found is not None and found != content and manifest.recorded(self.path) is None:
            emit(Note(f"{self.path} was not ours; it is now {aside(self.path)}", level="warning"))
        atomically(self.path, content, mode=self.mode, owner=self.owner, group=self.group)
        manifest.record(self.path, content)

    def _diff(self, found: bytes) -> str:
        if self.secret:
            return ""
        return unified(found.decode("utf-8", "replace"), self.content, str(self.path), secrets=self.secrets)


@dataclass(frozen=True, slots=True)
class Absent:
    """A file of ours that must not be there; somebody else's file is left alone."""

    path: Path

    @property
    def name(self) -> str:
        return f"file {self.path}"

    async def plan(self) -> Change | None:
        """Whether a file of ours is there."""
        there = self.path.exists() and manifest.recorded(self.path) is not None
        return Change("remove") if there else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        manifest.forget(self.path)


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder with its mode and owner; what is in it is not looked at. keep: one that is there stays as it is."""

    path: Path
    mode: int = 0o755
    owner: str = "root"
    group: str | None = None
    keep: bool = False

    @property
    def name(self) -> str:
        return f"directory {self.path}"

    async def plan(self) -> Change | None:
        """Whether it is there, with this mode and owner."""
        if not self.path.is_dir():
            return Change("create")
        if self.keep:
            return None
        wrong = wrong_access(self.path, self.mode, self.owner, self.group)
        return Change(wrong) if wrong else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create it or correct its mode and owner."""
        self.path.mkdir(parents=True, exist_ok=True)
        os.chown(self.path, *ids(self.owner, self.group))
        self.path.chmod(self.mode)


def read(path: Path) -> bytes | None:
    """The content, or None where there is no such file. Raises OSError on anything else."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def wrong_access(path: Path, mode: int, owner: str, group: str | None) -> str | None:
    """How mode or owner differ; None where they do not. An owner that does not exist yet differs."""
    now = path.stat()
    wrong: Iterable[str] = ()
    if stat.S_IMODE(now.st_mode) != mode:
        wrong = (*wrong, f"mode {stat.S_IMODE(now.st_mode):04o} -> {mode:04o}")
    try:
        wanted = ids(owner, group)
    except KeyError:
        wanted = (-1, -1)
    if (now.st_uid, now.st_gid) != wanted:
        wrong = (*wrong, f"owner {now.st_uid}:{now.st_gid} -> {owner}:{group or owner}")
    return ", ".join(wrong) or None
