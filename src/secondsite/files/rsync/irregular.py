"""What is a file, a link or a folder here, and a device, socket or FIFO at the source by now.

Those are no part of a set. rsync says that it skips one ("skipping non-regular file"), and leaves what bears its name
here as it is, because the name is still in the source's list (generator.c, recv_generator; rsync 3.2.7 to 3.4).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from secondsite.files.stream.apply import Applying
from secondsite.files.stream.beneath import GONE, Root, available, split, valid
from secondsite.files.stream.entry import Entry, Kind
from secondsite.files.stream.exclude import Excludes, understood
from secondsite.files.stream.weigh import Weighing

Name = bytes  # a path in the set

_SKIPPED = re.compile(rb'^skipping non-regular file "(.*)"\r?$', re.MULTILINE)
_ESCAPED = re.compile(rb"\\#([0-7]{3})")


def skipped(output: bytes) -> list[Name]:
    """Pure: the paths, from what rsync prints with ``--info=nonreg``. It escapes what is not printable. The source can
    have it print such a line of anything: what names nothing in a set is none."""
    told = map(unescaped, _SKIPPED.findall(output))
    return [path for path in told if path and valid(path)]


def unescaped(path: bytes) -> Name:
    """Pure: a path as it is, of one as rsync prints it."""
    return _ESCAPED.sub(lambda hit: bytes([int(hit[1], 8) & 0xFF]), path)


def of_set(patterns: Sequence[str]) -> Excludes:
    """What a set leaves out; nothing is known of patterns that only rsync understands."""
    return Excludes(patterns if understood(patterns) else ())


def entries(target: Path, patterns: Sequence[str]) -> int | None:
    """Files and folders of the set that are here, root included; None where that cannot be counted. Raises OSError."""
    if not available():
        return None
    with Root(str(target)) as root:
        return Weighing(root, [], of_set(patterns)).entries()


def still_here(target: Path, paths: Iterable[Name], excludes: Excludes) -> dict[Name, int]:
    """Those of them that are something here: how many entries of the set go with each. Raises OSError."""
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
            found[path] = len(Weighing(root, [], excludes).below(path)) if folder else 1
    return found


def remove(
    target: Path, paths: Iterable[Name], aside: Path | None, excludes: Excludes, may: Callable[[], None] = lambda: None
) -> int:
    """Take them away, but for what the set leaves out; how many entries went. aside: they are moved there, because they
    may be somebody's. It must not be there yet: rsync fills a folder with links that a source dictates, and a path that
    leads through one of them leads anywhere. may: raises Taken once nothing may be removed any more. Raises OSError."""
    with Root(str(target)) as root:
        if aside is None:
            return _deleted(root, paths, excludes, may)
        aside.mkdir(mode=0o700, parents=True)
        with Root(str(aside)) as beside:
            apart = _outermost(paths)
            for path in apart:
                ours, all_of_it = (Weighing(root, [], which).below(path) for which in (excludes, Excludes(())))
                if len(ours) == len(all_of_it):
                    _put_aside(root, path, beside, may)
                else:
                    _put_ours_aside(root, ours, beside, may)
    return len(apart)


def _deleted(root: Root, paths: Iterable[Name], excludes: Excludes, may: Callable[[], None]) -> int:
    gone = [Entry(path, Kind.GONE) for path in paths]
    return Applying(Weighing(root, gone, excludes), may).carry_out().deleted


def _outermost(paths: Iterable[Name]) -> list[Name]:
    """Pure: those of them that are not below another, and go with it."""
    given = set(paths)
    parts = ((path, path.split(b"/")) for path in sorted(given))
    return [path for path, names in parts if not any(b"/".join(names[:at]) in given for at in range(1, len(names)))]


def _put_ours_aside(root: Root, paths: Sequence[Name], aside: Root, may: Callable[[], None]) -> None:
    """Of a folder in which something stays: what does not, and the folders that are empty then."""
    folders = []
    for path in paths:
        with root.opened(path) as handle:
            folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        if folder:
            folders.append(path)
        else:
            _put_aside(root, path, aside, may)
    for path in reversed(folders):
        parent, name = split(path)
        with root.opened(parent, os.O_PATH | os.O_DIRECTORY) as above:
            may()
            try:
                os.rmdir(name, dir_fd=above)
            except OSError as failed:
                if failed.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def _put_aside(root: Root, path: Name, aside: Root, may: Callable[[], None]) -> None:
    parent, name = split(path)
    with root.opened(parent, os.O_PATH | os.O_DIRECTORY) as folder, _made(aside, parent) as place:
        may()
        try:
            os.rename(name, name, src_dir_fd=folder, dst_dir_fd=place)  # nothing bears it: all is put there once
        except OSError as failed:
            if failed.errno != errno.EXDEV:
                raise
            _carry(folder, name, place)
            _deleted(root, [path], Excludes(()), may)


@contextlib.contextmanager
def _made(root: Root, path: Name) -> Iterator[int]:
    """The folder of that path, made with those above it where it was not; no link is followed. Raises OSError."""
    above = b""
    for name in path.split(b"/") if path else ():
        with root.opened(above, os.O_PATH | os.O_DIRECTORY) as folder, contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        above = above + b"/" + name if above else name
    with root.opened(path, os.O_PATH | os.O_DIRECTORY) as folder:
        yield folder


def _carry(folder: int, name: bytes, to: int) -> None:
    """To another file system, whatever it is: a FIFO, socket or device is made again there (man cp, --archive). It is
    durable there then. Both folders are open, so that no link on the way to them is followed. Raises OSError."""
    there = f"/proc/self/fd/{to}"
    source, target = (f"/proc/self/fd/{one}/{os.fsdecode(name)}" for one in (folder, to))
    for argv in (
        ["cp", "--archive", "--no-target-directory", "--", source, target],
        ["sync", "--file-system", "--", there],
    ):
        done = subprocess.run(argv, pass_fds=(folder, to), capture_output=True, check=False)
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            place = str(Path(there).readlink() / os.fsdecode(name))
            raise OSError(errno.EIO, f"it cannot be put aside: {words or argv[0]}", place)
