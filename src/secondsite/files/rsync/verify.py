"""Compare a copy with its source: all content, or only what is known of it. Reading all costs a full read at both."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondsite.errors import FinalError, RetryableError
from secondsite.files.rsync import command, irregular
from secondsite.files.rsync.output import Code, stats, why
from secondsite.files.rsync.runner import run
from secondsite.spec import FileSet

SAMPLE = 20
FOLDERS_NAMED = 10_000
SLOW_BYTES = 10_000_000  # a second: a slow disk that others use, too
# Where nothing but the hard link is missing, its nine attributes are blanks.
_ITEM = re.compile(rb"^(\*deleting  |[<>ch.*][fdLDS](?:\S{9}| {9})) (.*)$", re.MULTILINE)
_FOLDER_TIME = b".d..t......"


@dataclass(frozen=True, slots=True)
class Verification:
    """files: compared. differing: how many differ, are missing or are extra; sample: the first of their paths. folders:
    of which only the time differs, the first of them, counted apart: whatever changes in a folder changes its time, so
    beside each file that is under way there is one."""

    files: int
    differing: int
    sample: tuple[str, ...]
    seconds: float
    folders: tuple[str, ...] = ()


@dataclass(slots=True)
class _Told:
    """What rsync has told, read as it comes: the end of a long listing is all that is kept of it."""

    named: int
    differing: int = 0
    sample: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def read(self, lines: bytes) -> bool:
        for what, path in _ITEM.findall(lines):
            if what == _FOLDER_TIME:
                self._name(self.folders, path, FOLDERS_NAMED)
            else:
                self.differing += 1
                self._name(self.sample, path, self.named)
        return True

    def _name(self, names: list[str], path: bytes, most: int) -> None:
        if len(names) < most:
            names.append(path.decode("utf-8", "surrogateescape"))


async def verify(
    fileset: FileSet,
    source_address: str,
    port: int,
    *,
    timeout: float,
    bandwidth: int | None = None,
    content: bool = True,
    only: Sequence[str] | None = None,
    named: int = SAMPLE,
    largest: int = 0,
) -> Verification:
    """The differences now. content: of every byte; else what size, time and attributes tell. only: just these paths.
    named: how many that differ are named. largest: bytes of the largest file among them, where that is known.

    Raises RetryableError (``files-unreachable``) or FinalError (``files-unreadable``).
    """
    began, told = time.monotonic(), _Told(named)
    with tempfile.TemporaryDirectory(prefix="secondsite-") as room:
        argv = command.compare(
            command.url(source_address, port, fileset.name),
            Path(fileset.path),
            exclude=fileset.patterns,
            bandwidth=bandwidth or fileset.bandwidth,
            content=content,
            only=None if only is None else _listed(Path(room), only),
            silence=largest // SLOW_BYTES,
        )
        ended = await run(argv, seconds=timeout, go_on=told.read)
    if ended.code is None or ended.code in (Code.PROTOCOL_START, Code.SOCKET):
        reason = "no answer in time" if ended.code is None else why(ended.text)
        raise RetryableError(
            f"the file set {fileset.name} cannot be compared: {reason}", slug="files-unreachable", step="verify files"
        )
    vanished = only is not None and ended.code == Code.PARTIAL  # a path that was named has gone at the source
    if ended.code not in (Code.OK, Code.VANISHED) and not vanished:
        raise FinalError(
            f"the file set {fileset.name} cannot be compared: {why(ended.text)}",
            slug="files-unreadable",
            step="verify files",
        )
    skipped, excludes = irregular.skipped(os.fsencode(ended.stdout)), irregular.of_set(fileset.patterns)
    stale = irregular.still_here(Path(fileset.path), skipped, excludes)
    sample = (*told.sample, *(os.fsdecode(path) for path in stale))[:named]
    differing, files = told.differing + len(stale), stats(ended.stdout).files
    return Verification(files, differing, sample, time.monotonic() - began, tuple(told.folders))


def _listed(room: Path, paths: Sequence[str]) -> Path:
    """As rsync reads a list of names (man rsync, --files-from)."""
    listed = room / "paths"
    listed.write_bytes(b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths))
    return listed
