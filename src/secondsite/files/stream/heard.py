"""What a follower last heard, for other processes and for a loss that has to be told: a small file beside the record.

It is written each second and not made durable: after a crash the record alone counts, which is older and as true.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from secondsite.files.store import STORE, Record

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
    try:
        body = json.loads(_place(name, store).read_text())
        heard = Heard(**{key: value for key, value in body.items() if key in Heard.__slots__})
        return replace(heard, waiting=tuple(heard.waiting)) if heard.epoch == record.epoch else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def save(name: str, heard: Heard, store: Path = STORE) -> None:
    """Raises OSError."""
    place = _place(name, store)
    temporary = place.with_suffix(".heard-new")
    temporary.write_text(json.dumps(asdict(heard)))
    temporary.chmod(0o600)
    temporary.replace(place)


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


def _place(name: str, store: Path) -> Path:
    return store / f"{name}.heard"
