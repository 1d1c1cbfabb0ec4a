"""What is a file, a link or a folder here, and a device, socket or FIFO at the source by now.

Those are no part of a set. rsync says that it skips one ("skipping non-regular file"), and leaves what bears its name
here as it is, because the name is still in the source's list (generator.c, recv_generator; rsync 3.2.7 to 3.4).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from secondsite.files.stream.apply import Applying
from secondsite.files.stream.beneath import GONE, Root, available, split
from secondsite.files.stream.entry import Entry, Kind
from secondsite.files.stream.exclude import Excludes
from secondsite.files.stream.weigh import Weighing

Name = bytes  # a path in the set

_SKIPPED = re.compile(rb'^skipping non-regular file "(.*)"\r?$', re.MULTILINE)
_ESCAPED = re.compile(rb"\\#([0-7]{3})")


def skipped(output: bytes) -> list[Name]:
    """Pure: the paths, from what rsync prints with ``--info=nonreg``. It escapes what is not printable."""
    return [_ESCAPED.sub(lambda hit: bytes([int(hit[1], 8) & 0xFF]), path) for path in _SKIPPED.findall(output)]


def still_here(target: Path, paths: Iterable[Name]) -> dict[Name, int]:
    """Those of them that are something here: how many entries go with each. Raises OSError."""
    if not available():
        return {}
    found = {}
    with Root(str(target)) as root:
        for path in paths:
            try:
                with root.opened(path) as handle:
                    folder = stat.S_ISDIR(os.fstat(handle).st_mode)
            except OSError as failed:
                if failed.errno in GONE:
                    continue
                raise
            found[path] = len(Weighing(root, [], Excludes(())).below(path)) if folder else 1
    return found


def remove(target: Path, paths: Sequence[Name], aside: Path | None) -> int:
    """Take them away; how many entries went. aside: they are moved there, because they may be somebody's. Raises
    OSError."""
    with Root(str(target)) as root:
        if aside is None:
            gone = [Entry(path, Kind.GONE) for path in paths]
            return Applying(Weighing(root, gone, Excludes(()))).carry_out().deleted
        for path in paths:
            parent, name = split(path)
            place = aside / os.fsdecode(parent)
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with root.opened(parent, os.O_PATH | os.O_DIRECTORY) as folder:
                os.rename(name, os.fsencode(place / os.fsdecode(name)), src_dir_fd=folder)
    return len(paths)
