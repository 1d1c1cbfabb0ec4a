"""The program itself as a resource: which release is current, its command, and how many old ones are kept."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge.resource import Change
from secondsite.converge.write import aside, sync_directory
from secondsite.events import Emit, Note
from secondsite.spec import paths

KEPT = 2  # releases: the current one and the one before


@dataclass(frozen=True, slots=True)
class Program:
    """``current`` names this release, and ``paths.COMMAND`` starts it."""

    release: str
    root: Path = paths.PROGRAM
    command: Path = paths.COMMAND

    @property
    def name(self) -> str:
        return "program secondsite"

    async def plan(self) -> Change | None:
        """Whether another release is current, or the command is missing or somebody else's."""
        now = _link(self.root / "current")
        if now != f"releases/{self.release}":
            was = now.rsplit("/", 1)[-1] if now else "none"
            return Change(f"use release {self.release}", f"-{was}\n+{self.release}")
        if _link(self.command) != self._target:
            return Change(f"make {self.command} start it")
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Swap the links, each in one rename; remove releases and libraries that nothing needs any more."""
        place = self.root / "releases" / self.release
        os.utime(place / "bin" / "secondsite")  # units that started before this moment are outdated
        _point(self.root / "current", f"releases/{self.release}")
        if self.command.exists() and _link(self.command) is None:
            emit(Note(f"{self.command} was not ours; it is now {aside(self.command)}", level="warning"))
        _point(self.command, self._target)
        _prune(self.root, self.release)

    @property
    def _target(self) -> str:
        return str(self.root / "current" / "bin" / "secondsite")


def own_release() -> str | None:
    """The release this process runs from; None where it does not stand in a release folder."""
    import secondsite

    folder = Path(secondsite.__file__).resolve().parent.parent
    return folder.name if folder.parent.name == "releases" else None


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _point(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
    sync_directory(path.parent)


def _prune(root: Path, current: str) -> None:
    releases = sorted(_whole(root / "releases"), key=lambda path: path.stat().st_mtime, reverse=True)
    before = [path for path in releases if path.name != current]
    kept = {current, *(path.name for path in before[: KEPT - 1])}
    for path in releases:
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
    needed = {_libraries_of(root / "releases" / name) for name in kept}
    for path in _whole(root / "libraries"):
        if path.name not in needed:
            shutil.rmtree(path, ignore_errors=True)


def _whole(folder: Path) -> list[Path]:
    """Without what an upload is filling just now; the next upload removes what one has left behind."""
    return [path for path in folder.glob("*") if path.suffix != ".partial"]


def _libraries_of(release: Path) -> str | None:
    """The id that the release's launcher names."""
    import re

    try:
        found = re.search(r"'libraries', '([^']+)'", (release / "bin" / "secondsite").read_text())
    except OSError:
        return None
    return found[1] if found else None
