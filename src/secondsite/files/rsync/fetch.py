"""Fetch single files by name: those of a batch that are too large to travel in it."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondsite.errors import RetryableError
from secondsite.files.bandwidth import Watched
from secondsite.files.rsync import command
from secondsite.files.rsync.irregular import unescaped
from secondsite.files.rsync.output import Code, only_moved, rewritten, why
from secondsite.files.rsync.runner import Ended, Watch, run
from secondsite.files.store import STORE, Held, end_running
from secondsite.files.stream.apply import NoSpace, Taken
from secondsite.files.stream.entry import Entry
from secondsite.spec import FileSet

FETCH_SECONDS = 24 * 3600.0
READ_BYTES = 64 << 20  # of a file that looks as it does here; a larger one is left to verify
_FULL = ("No space left on device", "Disk quota exceeded")


@dataclass(slots=True)
class Rewriting:
    """Files of one batch that rsync gives another content although nobody has counted them: whoever encrypts files may
    give them their times back, and a source may lie about both. known: counted before. most: no more than so many may
    be; None where there is no limit. counting: those of some paths that count within the hour."""

    known: Collection[bytes]
    most: int | None
    counting: Callable[[Iterable[bytes]], set[bytes]]
    names: set[bytes] = field(default_factory=set)

    @property
    def stopped(self) -> bool:
        return self.most is not None and len(self.names) > self.most

    def seen(self, lines: bytes) -> bool:
        """Whether rsync may go on."""
        new = {unescaped(name).removeprefix(b"./") for name in rewritten(lines)}
        self.names |= self.counting(new.difference(self.known, self.names))
        return not self.stopped


async def fetch(
    fileset: FileSet,
    address: str,
    port: int,
    entries: Sequence[Entry],
    held: Held,
    limit: Watched,
    rewriting: Rewriting,
    may: Callable[[], None],
    watch: Watch | None = None,
    store: Path = STORE,
) -> dict[bytes, str]:
    """What could not be brought, and why. A file that is gone meanwhile is told as gone by the next batch.

    rewriting: it ends where that is stopped. may: asked before whatever writes; raises Taken. watch: hears how far it
    has come.

    Raises RetryableError (``files-unreachable``) where the daemon does not answer to its end, NoSpace.
    """
    amiss: dict[bytes, str] = {}
    source, target = command.url(address, port, fileset.name), Path(fileset.path)
    for sparse, read in itertools.product((False, True), repeat=2):
        paths = [one.path for one in entries if (one.sparse, _alike(one, target)) == (sparse, read)]
        if not paths:
            continue
        while True:
            may()
            bandwidth, another = limit.begin()
            argv = command.fetch(source, target, bandwidth=bandwidth, sparse=sparse, read=read)
            given, writable = command.names(paths), [target]
            ended = await run(
                argv,
                seconds=FETCH_SECONDS,
                held=held,
                watch=watch,
                writable=writable,
                given=given,
                until=_until(another, may, fileset, store),
                go_on=rewriting.seen,
                closely=rewriting.most is not None,
            )
            may()
            if rewriting.stopped:
                return amiss
            if not (ended.asked and ended.code in (Code.SIGNAL, Code.STREAM)):
                break  # else the limit is another now: it goes on from what it has left
        amiss |= _judged(ended, paths)
    return amiss


def _until(another: Callable[[], bool], may: Callable[[], None], fileset: FileSet, store: Path) -> Callable[[], bool]:
    """Asked as soon as the rsync is noted, and then again and again: it ends for another limit, and for a promotion."""

    def ends() -> bool:
        try:
            may()
        except Taken:
            end_running(fileset.name, store)
            return True
        return another()

    return ends


def _alike(entry: Entry, target: Path) -> bool:
    """Whether only content may tell it from what is here: it has that size, and a time that may be one of whole
    seconds, or is the very same. A rewrite of the same size within that second leaves both; and so does whoever sets
    the time back, or writes through a memory map to a page that is dirty already.

    Whoever opens a large file to write and closes it again, as a database does, has it told too, and nothing of it has
    changed: of such a one the content is not read each time.
    """
    told = entry.attributes
    try:
        here = (target / os.fsdecode(entry.path)).lstat()
    except OSError:
        return False
    if here.st_size != entry.size or told is None:
        return False
    if told.mtime % 10**9 == 0:
        return True
    same = (here.st_mtime_ns, stat.S_IMODE(here.st_mode), here.st_uid, here.st_gid)
    return entry.size <= READ_BYTES and same == (told.mtime, told.mode, told.uid, told.gid)


def _judged(ended: Ended, paths: Sequence[bytes]) -> dict[bytes, str]:
    if ended.code in (Code.OK, Code.VANISHED):
        return {}
    if any(words in ended.text for words in _FULL):
        raise NoSpace(why(ended.text))
    if ended.code == Code.PARTIAL and only_moved(ended.text):
        return {}
    if ended.code == Code.PARTIAL:
        return dict.fromkeys(paths, why(ended.text))
    raise RetryableError(
        f"large files could not be fetched: {why(ended.text)}", slug="files-unreachable", step="fetch files"
    )
