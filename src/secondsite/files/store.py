"""What this host remembers of each file set: one small JSON file a set, replaced atomically, and a lock beside it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.errors import RetryableError
from secondsite.files.budget import Minute
from secondsite.spec import paths

STORE = paths.STATE / "files"
POLL_SECONDS = 0.003  # a pull that is ended for a failover is gone at once, and users wait for what follows
PULLED, SOURCE = "pulled", "source"
KEEPING = "secondsite-keep"  # the name of the process that makes a version (15 characters at most, proc(5))


Heads = tuple[tuple[str, int], ...]  # of each dataset of a copy, by its path in the tree, a snapshot's guid


@dataclass(frozen=True, slots=True)
class Record:
    """Times are unix seconds.

    role: ``pulled`` or ``source``; None before either. complete_at: everything that existed at the source at this
    moment is here, by the clock of the source where it tells one. confirmed_at: since when, by this host's clock; how
    old a copy is that hears nothing more is told by this one alone. entries: files and folders that it has.
    seconds: how long that pull took. settled: a complete pull has happened since this site last was the source (or
    ever), so what it deletes came from the source. outcome: complete, blocked or failed, of the last attempt. mount:
    mount point the folder belongs to. inner: those inside it, when the service's file was last applied here.
    held_back: deletions that the budget stopped in the last pull. allow_deletions: a person allows the next pull to
    make as many, beyond the budget.

    epoch, seq: everything up to that number of the source's journal of changes is here; None where it must be compared
    in full first. pulls: how many attempts there were, so that whoever looked before one does not write after it.
    last_reconcile_at: end of the last complete pull, this host's clock. window: what was deleted and
    rewritten in the last hour (budget.Minute). alarm: why the stream stopped for a person (budget.Alarm).

    engine: how it has been pulled, ``rsync`` or ``zfs``; None before it was decided. dataset: the one that holds the
    copy, by ZFS. promotions: how often this site has become the original.
    counted: of a copy by ZFS the snapshots at which its files were counted last; uncounted: bytes that came since;
    counted_at, count_seconds: when that was, and how long it took. reached: the newest snapshots of the last round.
    patterns: by which the last complete pull told what is left out; None where it did not say.
    alarm_reason: what a person is told of the alarm, whatever else has stopped a pull since.
    guarded_at: whatever was here at this moment counts against the budget when it goes, also where it came within the
    hour (this host's clock): of the first complete copy, and of what a person has agreed to; None before that.
    """

    role: str | None = None
    complete_at: float | None = None
    confirmed_at: float | None = None
    entries: int | None = None
    seconds: float = 0.0
    settled: bool = False
    last_attempt_at: float | None = None
    outcome: str | None = None
    reason: str | None = None
    mount: str | None = None
    inner: tuple[str, ...] = ()
    allow_deletions: bool = False
    held_back: int | None = None
    epoch: str | None = None
    seq: int = 0
    pulls: int = 0
    last_reconcile_at: float | None = None
    window: tuple[Minute, ...] = ()
    alarm: str | None = None
    engine: str | None = None
    dataset: str | None = None
    counted: Heads = ()
    reached: Heads = ()
    uncounted: int = 0
    counted_at: float = 0.0
    count_seconds: float = 0.0
    promotions: int = 0
    patterns: tuple[str, ...] | None = None
    guarded_at: float | None = None
    alarm_reason: str | None = None


_SETTLED_NS = (
    100_000_000  # a file that was written so lately may be replaced by one that looks the same (inode and time)
)
_known: dict[str, tuple[tuple[int, int, int], Record]] = {}


def load(name: str, store: Path = STORE) -> Record:
    """The set's record; an empty one where there is none or it cannot be read. It is asked for several times a second:
    a file that is still the one that was read is not read again."""
    place = f"{store}/{name}.json"
    try:
        status = os.stat(place)  # noqa: PTH116
    except OSError:
        return Record()
    seen = (status.st_ino, status.st_mtime_ns, status.st_size)
    known = _known.get(place)
    if known is not None and known[0] == seen:
        return known[1]
    record = _read(Path(place))
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        _known[place] = seen, record
    return record


def _read(place: Path) -> Record:
    try:
        body = json.loads(place.read_text())
        for key in ("counted", "reached"):
            body[key] = tuple((str(path), int(guid)) for path, guid in body.get(key, ()))
        body["window"] = tuple(_minute(*each) for each in body.get("window", ()))
        body["inner"] = tuple(str(each) for each in body.get("inner", ()))
        if body.get("patterns") is not None:
            body["patterns"] = tuple(str(each) for each in body["patterns"])
        return Record(**{key: value for key, value in body.items() if key in Record.__slots__})
    except (OSError, ValueError, TypeError, AttributeError):
        return Record()


def _minute(at: int, gone: int, new: int, before: int = 0) -> Minute:
    """As earlier versions wrote it, too."""
    return int(at), int(gone), int(new), int(before)


def save(name: str, record: Record, store: Path = STORE) -> None:
    """Replace the set's record, durably. Raises OSError."""
    atomically(store / f"{name}.json", json.dumps(asdict(record)).encode(), mode=0o600)


def mount_of(path: Path) -> str:
    """Mount point of the file system that holds ``path``, or the nearest folder above that exists."""
    here = Path(os.path.realpath(path))
    while not here.exists():
        here = here.parent
    while not os.path.ismount(here):
        here = here.parent
    return str(here)


class Held:
    """The lock of one set, held. ``running`` tells others whom to end if they must have it. Between ``begin`` and
    ``done`` there may be half-made files in the set's folder: whoever dies there leaves that said."""

    def __init__(self, handle: int, mark: Path) -> None:
        self._handle, self._mark = handle, mark

    def begin(self) -> bool:
        """Whether it was not said already, so that it is the caller's to call ``done``. Raises OSError."""
        try:
            os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        return True

    def done(self) -> None:
        """Nothing half-made is left. Raises OSError."""
        self._mark.unlink(missing_ok=True)

    def running(self, pid: int | None) -> None:
        """Note the process group that works under this lock."""
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, b"" if pid is None else str(pid).encode(), 0)


@contextlib.asynccontextmanager
async def locked(
    name: str, *, seconds: float, store: Path = STORE, waiting: Callable[[], None] | None = None
) -> AsyncIterator[Held]:
    """Have the set for oneself; ``waiting`` is called as long as somebody else has it.

    Raises RetryableError (slug ``files-busy``) after ``seconds``.
    """
    store.mkdir(parents=True, exist_ok=True)
    handle = os.open(store / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _take(handle):
            if time.monotonic() > deadline:
                raise RetryableError(f"the file set {name} is being pulled by another process", slug="files-busy")
            end_keeping(name, store)
            if waiting is not None:
                waiting()
            await asyncio.sleep(POLL_SECONDS)
        held = Held(handle, _mark(name, store))
        held.running(None)
        yield held
    finally:
        os.close(handle)


def unfinished(name: str, store: Path = STORE) -> bool:
    """Whether somebody died while writing to the set's folder: only a full comparison finds what is left of that."""
    return _mark(name, store).exists()


def _mark(name: str, store: Path) -> Path:
    return store / f"{name}.unfinished"


def end_keeping(name: str, store: Path = STORE) -> None:
    """End the making of a version that has the set's lock: nothing has to wait for it, and the next pull is followed by
    another occasion. What it leaves is removed then."""
    try:
        pid = int((store / f"{name}.lock").read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == KEEPING:
            os.killpg(pid, signal.SIGKILL)
    except (OSError, ValueError):
        return


def end_running(name: str, store: Path = STORE) -> None:
    """End the rsync or zfs that works under the set's lock, in whichever process of ours it runs."""
    pid = running(name, store)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def running(name: str, store: Path = STORE) -> int | None:
    """The process group of the rsync or zfs that works under the set's lock; None where nothing is being written."""
    try:
        pid = int((store / f"{name}.lock").read_text())
        return pid if writes(Path(f"/proc/{pid}/status").read_text()) else None
    except (OSError, ValueError):
        return None


def writes(status: str) -> bool:
    """Pure: whether a process of that /proc/PID/status (proc(5)) is an rsync or zfs that goes on. One that was killed
    while it waits for a disk keeps its name until the disk answers, and then ends without a further call."""
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    pending = int(told.get("SigPnd", "0"), 16) | int(told.get("ShdPnd", "0"), 16)
    killed = pending >> (signal.SIGKILL - 1) & 1
    return (
        told.get("Name", "").strip() in ("rsync", "zfs") and not killed and told.get("State", "")[:1] not in ("Z", "X")
    )


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
