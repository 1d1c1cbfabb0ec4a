"""What a follower last heard, for other processes and for a loss that has to be told.

It is written each second, to memory: a disk would be woken each time, and with it whoever watches its file system. It
is kept beside the record when no more is heard. After a crash before that the record alone counts, older and as true.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.files.store import STORE, Record
from secondsite.spec import paths

FRESH_SECONDS = 5.0  # the source says a word each second; without one for so long, nothing is current


@dataclass(frozen=True, slots=True)
class Heard:
    """at: when, unix seconds by this host's clock. told_at, as_of: by the source's: when it was said, and that every
    change before is here, durably. pending: paths dirty at the source that are not known to be here. waiting: some of
    them, as JSON text (wire.text). files, bytes: a second, lately. epoch: of the journal that this is about.
    unread: one path that the source cannot read, and why."""

    epoch: str
    at: float
    told_at: float
    as_of: float
    pending: int
    waiting: tuple[str, ...] = ()
    files: float = 0.0
    bytes: float = 0.0
    unread: str | None = None

    @property
    def behind(self) -> float:
        """Seconds, by the source's clock alone, when it was said."""
        return max(0.0, self.told_at - self.as_of)


def load(name: str, record: Record, store: Path = STORE) -> Heard | None:
    """What was heard of the journal that ``record`` follows; None where that is nothing."""
    if record.epoch is None:
        return None
    found = [one for place in (_now(name, store), _kept(name, store)) if (one := _read(place)) is not None]
    return max((one for one in found if one.epoch == record.epoch), key=lambda one: one.at, default=None)


def _read(place: Path) -> Heard | None:
    try:
        body = json.loads(place.read_bytes())
        heard = Heard(**{key: value for key, value in body.items() if key in Heard.__slots__})
        return replace(heard, waiting=tuple(heard.waiting), at=float(heard.at))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def save(name: str, heard: Heard, store: Path = STORE) -> None:
    """Until the next boot. Raises OSError."""
    place = f"{_now(name, store)}"
    temporary = f"{place}-new"
    body = json.dumps({each: getattr(heard, each) for each in Heard.__slots__}).encode()
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        Path(place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, body)
    finally:
        os.close(handle)
    os.replace(temporary, place)  # noqa: PTH105  (each second, for each set)


def keep(name: str, store: Path = STORE) -> None:
    """What was heard last outlives a boot. Raises OSError."""
    try:
        body = _now(name, store).read_bytes()
    except FileNotFoundError:
        return
    atomically(_kept(name, store), body, mode=0o600)


def complete_at(name: str, record: Record, store: Path = STORE) -> float | None:
    """The source's moment up to which everything is here, by the record and by what was heard since."""
    return reached(record, load(name, record, store))


def reached(record: Record, heard: Heard | None) -> float | None:
    """Pure: the source's moment up to which everything is here, as it was told last by this host's clock. That need not
    be the greatest: the source's clock may have been set right since."""
    if heard is None or not heard.as_of or record.complete_at is None or record.confirmed_at is None:
        known = [moment for moment in (record.complete_at, heard.as_of if heard else None) if moment]
        return max(known, default=None)
    return heard.as_of if heard.at >= record.confirmed_at else record.complete_at


@cache
def _now(name: str, store: Path) -> Path:
    return (paths.RUN / "files" if store == STORE else store / "run") / f"{name}.heard"


def _kept(name: str, store: Path) -> Path:
    return store / f"{name}.heard"
