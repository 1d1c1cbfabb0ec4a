"""Look into versions: which there are, how one path was through time, what differs between two moments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from secondsite.clock import to_text
from secondsite.errors import FinalError, UsageError
from secondsite.events import Event, Progress
from secondsite.files.versions import manifest
from secondsite.files.versions.entry import FOLDER, Entry
from secondsite.files.versions.place import Folder
from secondsite.files.versions.version import Keeping, Version

Say = Callable[[Event], None]
MOST = 2000  # paths of a difference by name; all are counted


def listed(keeping: Keeping, folder: Folder, order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """order: {path, at, id}; each may be missing. Answers {set, folder, versions[], path, states[]}.

    states: how ``path`` was, oldest first, each as long as nothing about it changed.
    """
    versions = keeping.list()
    if order.get("at") is not None or order.get("id") is not None:
        versions = (picked(versions, folder.name, at=order.get("at"), id=order.get("id")),)
    answer: dict[str, Any] = {
        "set": folder.name,
        "folder": str(folder.path),
        "versions": [told(version) for version in versions],
    }
    if order.get("path") is not None:
        path = relative(folder, order["path"])
        answer |= {"path": path, "states": _states(keeping, versions, path, say)}
    return answer


def _states(keeping: Keeping, versions: Sequence[Version], path: str, say: Say) -> list[dict[str, Any]]:
    states: list[dict[str, Any]] = []
    last: Entry | None = None
    for place, version in enumerate(versions):
        say(Progress("look at versions", place, len(versions), "versions"))
        with keeping.open(version) as opened:
            entry = next((one for one in opened.entries(path) if one.path == path), None)
        if states and entry == last:
            states[-1] |= {"last_version": version.id, "last_at": _text(version.as_of)}
            continue
        last = entry
        when = {"version": version.id, "at": _text(version.as_of), "last_version": version.id}
        states.append(when | {"last_at": _text(version.as_of), "there": entry is not None} | _entry(entry))
    return states


def diff(keeping: Keeping, folder: Folder, order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """order: {from, to, path}: from and to as {at, id}; to None is the set's folder now, from None the newest version.

    Answers {set, from, to, counts{added, removed, changed}, changes[{path, change, what, before, after}]}.
    """
    versions, path = keeping.list(), relative(folder, order.get("path") or "")
    first = picked(versions, folder.name, **(order.get("from") or {}))
    second = picked(versions, folder.name, **order["to"]) if order.get("to") else None
    counts, changes = {"added": 0, "removed": 0, "changed": 0}, []
    with keeping.open(first) as opened:
        old = opened.entries(path)
        if second is None:
            with keeping.now() as root:
                changes = _counted(_found(old, _now(root, path), say), counts)
        else:
            with keeping.open(second) as later:
                changes = _counted(_found(old, later.entries(path), say), counts)
    return {
        "set": folder.name,
        "from": told(first),
        "to": told(second) if second else None,
        "path": path,
        "counts": counts,
        "changes": changes,
    }


def differing(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Pure: the entries that two sorted lists do not share. That only the time of a folder differs is none: it says no
    more than what is told of the folder's content."""
    old, new = iter(before), iter(after)
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        if other is None or (one is not None and manifest.order_of(one.path) < manifest.order_of(other.path)):
            yield one, None
            one = next(old, None)
        elif one is None or manifest.order_of(other.path) < manifest.order_of(one.path):
            yield None, other
            other = next(new, None)
        else:
            if what(one, other):
                yield one, other
            one, other = next(old, None), next(new, None)


def what(one: Entry, other: Entry) -> list[str]:
    """Pure: in what two entries of one path differ."""
    pairs = {
        "kind": (one.kind, other.kind),
        "size": (one.size, other.size),
        "time": (one.mtime_ns, other.mtime_ns),
        "mode": (one.mode, other.mode),
        "owner": ((one.uid, one.gid), (other.uid, other.gid)),
        "attributes": (one.xattrs, other.xattrs),
        "target": (one.target, other.target),
        "links": (one.group, other.group),
    }
    found = [name for name, (old, new) in pairs.items() if old != new]
    return [] if found == ["time"] and one.kind == FOLDER else found


def picked(versions: Sequence[Version], name: str, *, at: float | None = None, id: str | None = None) -> Version:
    """Pure: the one of that id, or the newest that is no later than ``at`` (unix seconds); the newest without either.

    Raises FinalError (``no-such-version``).
    """
    hint = f"secondsite files list {name}"
    if not versions:
        raise FinalError(
            f"there are no versions of {name}", slug="no-such-version", hint='versions = "24h hourly, 14d daily"'
        )
    if id is not None:
        found = next((version for version in versions if version.id == id), None)
        if found is None:
            raise FinalError(f"there is no version {id} of {name}", slug="no-such-version", hint=hint)
        return found
    if at is None:
        return versions[-1]
    fitting = [version for version in versions if version.as_of <= at]
    if not fitting:
        oldest = _text(min(version.as_of for version in versions))
        raise FinalError(
            f"no version of {name} is as old as {_text(at)}: the oldest is of {oldest}",
            slug="no-such-version",
            hint=hint,
        )
    return max(fitting, key=lambda version: (version.as_of, version.number))


def relative(folder: Folder, path: str) -> str:
    """Pure: a path in the set, as its manifests have it; one that is absolute must lie in the set's folder.

    Raises UsageError (``path-outside``).
    """
    given = PurePosixPath(path)
    if given.is_absolute() and given.is_relative_to(folder.path):
        given = given.relative_to(folder.path)
    if given.is_absolute() or ".." in given.parts:
        raise UsageError(
            f"{path} does not lie in {folder.path}", slug="path-outside", hint=f"name a path in {folder.path}"
        )
    return "" if given == PurePosixPath() else str(given)


def told(version: Version) -> dict[str, Any]:
    """For documents."""
    return {
        "id": version.id,
        "kind": version.kind,
        "as_of": _text(version.as_of),
        "made_at": _text(version.made_at),
        "entries": version.entries,
        "bytes": version.bytes,
        "snapshot": version.snapshot,
    }


def _entry(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"kind": None, "bytes": None, "modified_at": None, "mode": None, "owner": None}
    return {
        "kind": entry.kind,
        "bytes": entry.size,
        "modified_at": _text(entry.mtime_ns / 1e9),
        "mode": f"{entry.mode:04o}",
        "owner": f"{entry.uid}:{entry.gid}",
    }


def _found(
    before: Iterable[Entry], after: Iterable[Entry], say: Say
) -> Iterator[tuple[str, str, list[str], Entry | None, Entry | None]]:
    for count, (old, new) in enumerate(differing(before, after)):
        if count % 500 == 0:
            say(Progress("compare", count, None, "files"))
        if old is None:
            assert new is not None
            yield new.path, "added", [], None, new
        else:
            yield old.path, "removed" if new is None else "changed", what(old, new) if new else [], old, new


def _counted(
    found: Iterable[tuple[str, str, list[str], Entry | None, Entry | None]], counts: dict[str, int]
) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = []
    for path, change, parts, old, new in found:
        counts[change] += 1
        if len(changes) < MOST:
            changes.append({"path": path, "change": change, "what": parts, "before": _entry(old), "after": _entry(new)})
    return changes


def _now(root: int, path: str) -> Iterator[Entry]:
    """The open folder of the set, at and below ``path``."""
    for entry, _ in manifest.entries(root):
        if not path or entry.path == path or entry.path.startswith(f"{path}/"):
            yield entry


def _text(moment: float) -> str:
    return to_text(datetime.fromtimestamp(moment, UTC))
