"""What a copy that went aside has and the source never received: listed where rsync's are (files/parting.py)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.clock import to_text
from secondsite.converge.write import atomically
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Note
from secondsite.files import parting
from secondsite.files.zfs import names
from secondsite.files.zfs.host import Host
from secondsite.spec import FileSet


async def tell(host: Host, fileset: FileSet, aside: Sequence[tuple[str, int | None]], store: Path, emit: Emit) -> None:
    """Mount each, read-only, and write its list. aside: datasets, with the moment of the last common snapshot.

    Nothing is lost when it fails: the dataset stays, and its name was told.
    """
    for dataset, since in aside:
        try:
            folder = await _mounted(host, fileset, dataset, store)
            body = await asyncio.to_thread(_listed, host, fileset, store, folder, dataset, since)
            if not body["count"]:
                continue
            path = store / parting.LOST / f"{names.stamp(time.time(), 'zfs')}-{fileset.name}.json"
            atomically(path, json.dumps(body, indent=1).encode(), mode=0o600)
        except (SecondsiteError, OSError, ValueError) as failing:
            emit(Note(f"what only {dataset} has could not be listed: {failing}", level="error"))
            continue
        if body["count"]:
            text = (
                f"{body['count']} files of {fileset.name} never reached the other site: secondsite report --lost-files"
            )
            emit(Note(text, level="warning"))


async def _mounted(host: Host, fileset: FileSet, dataset: str, store: Path) -> Path:
    folder = parting.aside_folder(fileset.name, store)
    await host.put(dataset, mountpoint=str(folder))
    tree = await host.tree(dataset)
    for each in tree.datasets if tree is not None else ():
        await host.run("zfs", "mount", names.below(dataset, each.path))
    return folder


def _listed(host: Host, fileset: FileSet, store: Path, folder: Path, dataset: str, since: int | None) -> dict[str, Any]:
    found = sorted(
        _changed(host.root / str(folder).lstrip("/"), since), key=lambda one: (one["changed_at"], one["path"])
    )
    return {
        "written_at": to_text(datetime.now(UTC)),
        "parted_at": to_text(datetime.now(UTC)),
        **parting.noted(fileset.name, store),
        "set": fileset.name,
        "folder": str(fileset.path),
        "complete_until": None if since is None else to_text(datetime.fromtimestamp(since, UTC)),
        "count": len(found),
        "bytes": sum(int(one["bytes"]) for one in found),
        "kept_in": [str(folder), f"zfs:{dataset}"],
        "older": 0,
        "files": [one | {"kept": str(folder / str(one["path"]))} for one in found],
        "perhaps": [],  # what is moved within a file system was in its last common snapshot, under another name
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
