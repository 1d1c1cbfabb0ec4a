"""Compare a copy with its source byte by byte, for a report; costs a full read on both sides."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from secondsite.errors import FinalError, RetryableError
from secondsite.files.rsync import command
from secondsite.files.rsync.output import Code, stats, why
from secondsite.files.rsync.runner import run
from secondsite.spec import FileSet

SAMPLE = 20
_ITEM = re.compile(
    r"^(?:\*deleting  |(?!\.d\.\.t\.{6} )[<>ch.*][fdLDS]\S{9}) (.*)$", re.MULTILINE
)  # a folder's time is no content


@dataclass(frozen=True, slots=True)
class Verification:
    """files: compared. differing: how many differ, are missing or are extra; sample: the first of their paths."""

    files: int
    differing: int
    sample: tuple[str, ...]
    seconds: float


async def verify(
    fileset: FileSet, source_address: str, port: int, *, timeout: float, bandwidth: int | None = None
) -> Verification:
    """The differences now. Raises RetryableError (``files-unreachable``) or FinalError (``files-unreadable``)."""
    began = time.monotonic()
    source = command.url(source_address, port, fileset.name)
    argv = command.compare(
        source, Path(fileset.path), exclude=fileset.exclude, bandwidth=bandwidth or fileset.bandwidth
    )
    ended = await run(argv, seconds=timeout)
    if ended.code is None or ended.code in (Code.PROTOCOL_START, Code.SOCKET):
        reason = "no answer in time" if ended.code is None else why(ended.text)
        raise RetryableError(
            f"the file set {fileset.name} cannot be compared: {reason}", slug="files-unreachable", step="verify files"
        )
    if ended.code not in (Code.OK, Code.VANISHED):
        raise FinalError(
            f"the file set {fileset.name} cannot be compared: {why(ended.text)}",
            slug="files-unreadable",
            step="verify files",
        )
    items = tuple(_ITEM.findall(ended.stdout))
    return Verification(stats(ended.text).files, len(items), items[:SAMPLE], time.monotonic() - began)
