"""Files that a former primary took and its successor never received: found before anything is overwritten, then listed.

A file belongs to them where it was written or changed here since the successor's last complete pull began, and where
the first pull afterwards has set it aside, because the successor has another one or none. When a file was changed is
its ctime (inode(7)): a program may set an mtime, and what is moved or unpacked brings an old one along. Clocks of two
hosts differ, so ten minutes are added: a file of that time is listed although it may have arrived. Only a clock that
was further behind, which readiness warns of, could hide one.

A folder that is moved gets a new ctime, and what is in it keeps the old one. A folder's ctime is new as well where only
an entry came or went. So what is below such a folder, and has an old ctime itself, is listed apart: perhaps lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.clock import to_text
from secondsite.converge.write import atomically, sync_directory
from secondsite.files.rsync.command import PARTIAL
from secondsite.files.store import STORE
from secondsite.spec import FileSet, paths

LOST = "lost"  # folder beside the records, one file a set and parting
CLOCKS_SECONDS = 600.0  # little is listed too much: only what the first pull sets aside is listed at all
_STAMP = "%Y%m%dT%H%M%SZ"
_MOMENT = "%Y%m%dT%H%M%S.%fZ"  # two notes of one second are two lists


@dataclass(frozen=True, slots=True)
class Left:
    """Which failover a site is taken back after, told by what no clock decides: the generation that its successor left,
    and where in the WAL (as ``database/lost.py`` writes it of the rows)."""

    generation: int
    since: str


def aside_folder(name: str, store: Path = STORE) -> Path:
    """A folder that does not exist yet, for what a pull takes out of the way. Each pull has its own: what one sets
    aside must not be written over what another did."""
    stamp = datetime.now(UTC).strftime(_STAMP)
    first = store.parent / paths.ASIDE.name / f"files-{name}-{stamp}"
    count, folder = 0, first
    while folder.exists():
        count += 1
        folder = first.with_name(f"{first.name}-{count}")
    return folder


async def note(fileset: FileSet, since: float | None, store: Path = STORE, *, left: Left | None = None) -> None:
    """Remember which files here have changed since ``since`` (unix seconds; None: all), before anything is pulled.

    A note that was never used stays, and is added to. Raises OSError.
    """
    await asyncio.to_thread(_note, fileset, since, store, left)


def _note(fileset: FileSet, since: float | None, store: Path, left: Left | None) -> None:
    place = _place(fileset.name, store)
    old = _read(place)
    found = {str(one["path"]): one for one in (old or {}).get("changed", ())}
    for one in _changed(Path(fileset.path), since):
        before = found.get(str(one["path"]))
        found[str(one["path"])] = one | {"certain": one["certain"] or (before is not None and _certain(before))}
    body = {
        "at": old["at"] if old else time.time(),
        "since": since,
        "before": old["before"] if old else [folder.name for folder in _asides(fileset.name, store)],
        "changed": list(found.values()),
        "left": asdict(left) if left else _left(old),
    }
    atomically(place, json.dumps(body).encode(), mode=0o600)


def _changed(folder: Path, since: float | None) -> Iterator[dict[str, Any]]:
    """Raises OSError where the folder is there and cannot be read: what is not seen would not be listed."""
    edge = None if since is None else since - CLOCKS_SECONDS
    for entry, above in _entries(folder):
        try:
            seen = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # removed meanwhile by whoever uses the folder
        certain = edge is None or max(seen.st_ctime, seen.st_mtime) >= edge
        if edge is None or certain or above >= edge:
            path = os.path.relpath(entry.path, folder)
            told = {"path": path, "bytes": seen.st_size, "modified_at": seen.st_mtime, "changed_at": seen.st_ctime}
            yield told | {"certain": certain}


def _entries(folder: Path) -> Iterator[tuple[os.DirEntry[str], float]]:
    """Every file and link below ``folder``, with the newest ctime of the folders above it, ``folder`` among them;
    nothing where it is not there."""
    folders = [(os.fspath(folder), 0.0)] if folder.is_dir() else []
    while folders:
        path, above = folders.pop()
        try:
            above = max(above, os.stat(path).st_ctime)  # noqa: PTH116 - names that are no UTF-8 stay as they are
            entries = os.scandir(path)
        except FileNotFoundError:
            continue  # removed since it was seen
        with entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry, above
                elif entry.name != PARTIAL:
                    folders.append((entry.path, above))


async def listed(fileset: FileSet, store: Path = STORE) -> dict[str, Any] | None:
    """Once a pull was complete: write down which of the noted files were set aside; None where nothing was noted.

    Raises OSError; the note stays then, and the next pull does it.
    """
    return await asyncio.to_thread(_listed, fileset, store)


def _listed(fileset: FileSet, store: Path) -> dict[str, Any] | None:
    place = _place(fileset.name, store)
    noted = _read(place)
    if noted is None:
        return None
    folders = [folder for folder in _asides(fileset.name, store) if folder.name not in noted["before"]]
    kept = [(_certain(one), entry) for one in noted["changed"] if (entry := _kept(one, folders)) is not None]
    files, perhaps = ([entry for certain, entry in kept if certain is wanted] for wanted in (True, False))
    body = {
        "written_at": to_text(datetime.now(UTC)),
        "parted_at": _text(noted["at"]),
        **_left(noted),
        "set": fileset.name,
        "folder": str(fileset.path),
        "complete_until": _text(noted["since"]),
        "count": len(files),
        "bytes": sum(int(one["bytes"]) for one in files),
        "kept_in": [str(folder) for folder in folders],
        "older": sum(1 for folder in folders for _ in _entries(folder)) - len(kept),
        "files": _sorted(files),
        "perhaps": _sorted(perhaps),
    }
    stamp = datetime.fromtimestamp(noted["at"], UTC).strftime(_MOMENT)
    atomically(store / LOST / f"{stamp}-{fileset.name}.json", json.dumps(body, indent=1).encode(), mode=0o600)
    place.unlink(missing_ok=True)
    sync_directory(store)
    return body


def _certain(one: dict[str, Any]) -> bool:
    """Whether a noted file was itself changed, not only a folder above it."""
    return bool(one.get("certain", True))  # a note by an older version has no others


def _sorted(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(files, key=lambda one: (one["changed_at"], one["path"]))


def _kept(one: dict[str, Any], folders: Sequence[Path]) -> dict[str, Any] | None:
    """Where a noted file lies. In the oldest folder: what a later pull set aside was pulled by the one before."""
    kept = next((folder / one["path"] for folder in folders if os.path.lexists(folder / one["path"])), None)
    if kept is None:
        return None
    moments = {key: _text(one[key]) for key in ("modified_at", "changed_at")}
    return {"path": one["path"], "bytes": one["bytes"], **moments, "kept": str(kept)}


def noted(name: str, store: Path = STORE) -> dict[str, Any]:
    """{generation, since} of what was noted of a set, for a list that is not made here. Raises OSError, ValueError."""
    return _left(_read(_place(name, store)))


def is_noted(name: str, left: Left | None, store: Path = STORE) -> bool:
    """Whether a note waits for the next pull, made at the same parting: in between nobody worked here. Raises OSError,
    ValueError."""
    note = _read(_place(name, store))
    return note is not None and (left is None or _left(note) == asdict(left))


def forget(name: str, store: Path = STORE) -> None:
    """What was noted of a set has served: it says nothing of a later parting."""
    with contextlib.suppress(OSError):
        _place(name, store).unlink()


def _left(noted: dict[str, Any] | None) -> dict[str, Any]:
    return dict((noted or {}).get("left") or {})


def records(store: Path = STORE) -> Iterator[dict[str, Any]]:
    """Every list that was written here, the oldest first: {written_at, parted_at, generation, since, set, folder,
    complete_until, count, bytes, kept_in, older, files[{path, bytes, modified_at, changed_at, kept}], perhaps[the
    same]}. count, bytes: of ``files``. perhaps: a folder above them was moved or changed, so that nobody can tell;
    older versions have no such key. generation, since: where that is known. Raises OSError, ValueError."""
    for path in sorted((store / LOST).glob("*.json")):
        yield json.loads(path.read_text())


def _asides(name: str, store: Path) -> list[Path]:
    """What pulls of this set have moved out of the way, the oldest first."""
    ours = re.compile(rf"files-{re.escape(name)}-(\d{{8}}T\d{{6}}Z)(?:-(\d+))?")
    found = [
        (hit, path) for path in (store.parent / paths.ASIDE.name).glob("files-*") if (hit := ours.fullmatch(path.name))
    ]
    return [path for hit, path in sorted(found, key=lambda one: (one[0][1], int(one[0][2] or 0)))]


def _place(name: str, store: Path) -> Path:
    return store / f"{name}.parting"


def _read(place: Path) -> dict[str, Any] | None:
    """The note; None where there is none. Raises OSError, ValueError: a note that cannot be read is not passed over."""
    return dict(json.loads(place.read_text())) if place.exists() else None


def _text(moment: float | None) -> str | None:
    return None if moment is None else to_text(datetime.fromtimestamp(moment, UTC))
