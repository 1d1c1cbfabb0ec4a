"""A part of somebody else's file that is ours, between two marker lines; the rest is never touched."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secondsite.converge.diff import unified
from secondsite.converge.files import read
from secondsite.converge.resource import Change
from secondsite.converge.write import atomically
from secondsite.errors import FinalError
from secondsite.events import Emit

Place = Literal["top", "end"]


def begin_line(label: str, comment: str = "#") -> str:
    """The line that opens our block."""
    return f"{comment} >>> secondsite: {label} (managed, do not edit) >>>"


def end_line(label: str, comment: str = "#") -> str:
    """The line that closes our block."""
    return f"{comment} <<< secondsite: {label} <<<"


def with_block(text: str, body: str, label: str, *, place: Place = "end", comment: str = "#") -> str:
    """``text`` with exactly one block that holds ``body``; an existing block stays where it is.

    An empty ``body`` removes the block. Raises ValueError where a marker has lost its partner.
    """
    begin, end = begin_line(label, comment), end_line(label, comment)
    rest, at = _without(text.splitlines(keepends=True), begin, end)
    if not body:
        return "".join(rest)
    block = [f"{begin}\n", *(f"{row}\n" for row in body.rstrip("\n").split("\n")), f"{end}\n"]
    if at is None:
        at = 0 if place == "top" else len(rest)
    if at > 0 and not rest[at - 1].endswith("\n"):
        rest[at - 1] += "\n"
    return "".join([*rest[:at], *block, *rest[at:]])


def _without(rows: list[str], begin: str, end: str) -> tuple[list[str], int | None]:
    """The rows outside of every block of ours, and where the first one stood."""
    rest: list[str] = []
    at: int | None = None
    inside = False
    for row in rows:
        bare = row.rstrip("\r\n")
        if bare == begin:
            if inside:
                raise ValueError(f'"{begin}" stands twice without "{end}"')
            inside, at = True, len(rest) if at is None else at
        elif bare == end:
            if not inside:
                raise ValueError(f'"{end}" stands without "{begin}"')
            inside = False
        elif not inside:
            rest.append(row)
    if inside:
        raise ValueError(f'"{begin}" stands without "{end}"')
    return rest, at


@dataclass(frozen=True, slots=True)
class Block:
    """A marked block in a file which must exist unless ``create`` is set. An empty body removes it."""

    path: Path
    body: str
    label: str
    place: Place = "end"
    mode: int = 0o644
    owner: str = "root"
    group: str | None = None
    create: bool = False
    secrets: tuple[str, ...] = ()
    disrupts: str | None = None

    @property
    def name(self) -> str:
        return f"block {self.label} in {self.path}"

    async def plan(self) -> Change | None:
        """What differs. Raises FinalError (``file-missing``, ``markers-broken``)."""
        found = self._found()
        wanted = self._wanted(found)
        if wanted == found:
            return None
        diff = unified(found, wanted, str(self.path), secrets=self.secrets)
        return Change("update our block" if self.body else "remove our block", diff, self.disrupts)

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write the file with our block; an existing file keeps its own mode and owner."""
        wanted = self._wanted(self._found()).encode("utf-8", "surrogateescape")
        if self.path.exists():
            now = self.path.stat()
            atomically(self.path, wanted, mode=stat.S_IMODE(now.st_mode), owner=now.st_uid, group=now.st_gid)
        else:
            atomically(self.path, wanted, mode=self.mode, owner=self.owner, group=self.group)

    def _found(self) -> str:
        found = read(self.path)
        if found is None and not self.create:
            raise FinalError(f"{self.path} does not exist", slug="file-missing", step=self.name)
        return (found or b"").decode("utf-8", "surrogateescape")

    def _wanted(self, found: str) -> str:
        try:
            return with_block(found, self.body, self.label, place=self.place)
        except ValueError as broken:
            raise FinalError(
                f"the marker lines in {self.path} are broken: {broken}",
                slug="markers-broken",
                step=self.name,
                hint=f"repair or remove the lines that name secondsite in {self.path}",
            ) from broken
