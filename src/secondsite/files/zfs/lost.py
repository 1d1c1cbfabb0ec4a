"""What a copy that went aside has and the source never received: listed where rsync's are (files/parting.py)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.clock import to_text
from secondsite.converge.write import atomically, sync_directory
from secondsite.errors import RetryableError, SecondsiteError
from secondsite.events import Emit, Note
from secondsite.files import parting
from secondsite.files.zfs import names
from secondsite.files.zfs.host import Host
from secondsite.files.zfs.model import Tree
from secondsite.spec import FileSet

AGAIN_SECONDS = 60.0  # after which a list that could not be written is tried again


@dataclass(frozen=True, slots=True)
class Aside:
    """A dataset that is going aside, or went. since: the moment of the last common snapshot; None where there is none.
    left: the parting as ``parting.noted`` tells it. given_up: whether one was noted: then files may be only here.
    tried_at: when its list could not be written, unix seconds."""

    dataset: str
    since: int | None
    at: float
    left: dict[str, Any]
    given_up: bool
    tried_at: float | None = None


def remember(name: str, dataset: str, since: int | None, store: Path) -> None:
    """Before it is renamed: whoever goes on with it later knows no other way what it was. Raises RetryableError
    (``zfs-broken``)."""
    try:
        noted = parting.noted(name, store), parting.is_noted(name, None, store)
        _save(name, [*waiting(name, store), Aside(dataset, since, time.time(), *noted)], store)
    except (OSError, ValueError) as failing:
        raise RetryableError(
            f"{dataset} cannot be remembered, so nothing goes aside: {failing}",
            slug="zfs-broken",
            step="pull files",
            hint=f"df {store}",
        ) from failing


def waiting(name: str, store: Path) -> list[Aside]:
    """What went aside, or was about to, and is not listed yet. Raises OSError, ValueError."""
    place = _place(name, store)
    try:
        return [Aside(**one) for one in json.loads(place.read_text())] if place.exists() else []
    except TypeError as strange:
        raise ValueError(f"{place}: {strange}") from strange


def _save(name: str, left: Sequence[Aside], store: Path) -> None:
    """Raises OSError."""
    if left:
        atomically(_place(name, store), json.dumps([asdict(one) for one in left]).encode(), mode=0o600)
    else:
        _place(name, store).unlink(missing_ok=True)
        sync_directory(store)


def _place(name: str, store: Path) -> Path:
    return store / f"{name}.asides"


async def tell(host: Host, fileset: FileSet, root: str, store: Path, emit: Emit) -> bool:
    """Mount each that went aside, read-only, and write its list; whether none waits any more. root: the set's dataset.

    Nothing is lost when it fails: the dataset stays, its name is told, and it is tried again.
    """
    try:
        for one in waiting(fileset.name, store):
            if one.tried_at is not None and 0 <= time.time() - one.tried_at < AGAIN_SECONDS:
                continue
            done = await _told(host, fileset, one, root, store, emit)
            others = [each for each in waiting(fileset.name, store) if each.dataset != one.dataset]  # as they are now
            _save(fileset.name, others if done else [*others, replace(one, tried_at=time.time())], store)
        return not waiting(fileset.name, store)
    except (SecondsiteError, OSError, ValueError) as failing:
        emit(Note(f"what went aside of {fileset.name} could not be listed: {failing}", level="error"))
        return False


async def _told(host: Host, fileset: FileSet, one: Aside, root: str, store: Path, emit: Emit) -> bool:
    tree = await host.tree(one.dataset)
    if tree is None:  # never renamed, because that was refused, or destroyed since; or the whole pool is away
        return await host.tree(root) is not None
    try:
        folder = await _mounted(host, fileset, tree, store)
        body = await asyncio.to_thread(_listed, host, fileset, folder, one)
        if body["count"] or body["perhaps"]:
            path = store / parting.LOST / f"{one.dataset[-len(names.stamp(0, '01234567')) :]}-{fileset.name}.json"
            atomically(path, json.dumps(body, indent=1).encode(), mode=0o600)
    except (SecondsiteError, OSError, ValueError) as failing:
        emit(Note(f"what only {one.dataset} has could not be listed: {failing}", level="error"))
        return False
    text = f"what was at {fileset.path} is kept as {one.dataset}; destroy it when you are sure"
    emit(Note(text, level="warning"))
    if body["count"]:
        text = f"{body['count']} files of {fileset.name} never reached the other site: secondsite report --lost-files"
        emit(Note(text, level="warning"))
    return True


async def _mounted(host: Host, fileset: FileSet, tree: Tree, store: Path) -> Path:
    folder, before = parting.aside_folder(fileset.name, store), Path(tree.datasets[0].mountpoint)
    if before.parent == folder.parent:  # by a try that came no further
        folder = before
    else:
        await host.put(tree.root, mountpoint=str(folder))
    for each in tree.datasets:
        if not each.mounted:
            await host.run("zfs", "mount", names.below(tree.root, each.path))
    return folder


def _listed(host: Host, fileset: FileSet, folder: Path, one: Aside) -> dict[str, Any]:
    """Without a common snapshot nobody can tell what had arrived. Then all counts as perhaps lost where the site was
    given up, and nothing where it never was the original."""
    seen = _changed(host.root / str(folder).lstrip("/"), one.since) if one.since is not None or one.given_up else ()
    found = [each | {"kept": str(folder / str(each["path"]))} for each in seen]
    found.sort(key=lambda each: (each["changed_at"], each["path"]))
    files, perhaps = ([], found) if one.since is None else (found, [])
    return {
        "written_at": to_text(datetime.now(UTC)),
        "parted_at": to_text(datetime.fromtimestamp(one.at, UTC)),
        **one.left,
        "set": fileset.name,
        "folder": str(fileset.path),
        "complete_until": None if one.since is None else to_text(datetime.fromtimestamp(one.since, UTC)),
        "count": len(files),
        "bytes": sum(int(each["bytes"]) for each in files),
        "kept_in": [str(folder), f"zfs:{one.dataset}"],
        "older": 0,
        "files": files,
        "perhaps": perhaps,  # what is moved within a file system was in its last common snapshot, under another name
    }


def _changed(folder: Path, since: int | None) -> Iterator[dict[str, Any]]:
    """Files whose ctime is not before the last common snapshot: a program may set an mtime, never a ctime."""
    for where, _, files in os.walk(folder):
        for name in files:
            seen = os.lstat(os.path.join(where, name))  # noqa: PTH118 - bytes that are no UTF-8 stay as they are
            if since is None or seen.st_ctime >= since:
                yield {
                    "path": os.path.relpath(os.path.join(where, name), folder),  # noqa: PTH118
                    "bytes": seen.st_size,
                    "modified_at": to_text(datetime.fromtimestamp(seen.st_mtime, UTC)),
                    "changed_at": to_text(datetime.fromtimestamp(seen.st_ctime, UTC)),
                }
