"""What the watcher reads at its start: a small file that ``secondsite apply`` writes.

The service's own file would need pydantic, which takes more room than all the rest of the watcher.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError
from secondsite.files.watch.watched import WatchedSet


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """address, port: where the door is."""

    address: str
    port: int
    sets: tuple[WatchedSet, ...]


def text(
    address: str,
    port: int,
    sets: Sequence[tuple[str, str]],
    mounts: Mapping[str, str],
    inner: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Pure: the file. sets: names and folders. mounts: the mount point each folder belongs to. inner: those inside it,
    where there are any."""
    listed = [{"name": name, "path": path, "mount": mounts[name], **_inside(inner, name)} for name, path in sets]
    return json.dumps({"address": address, "port": port, "sets": listed}, indent=2) + "\n"


def load(file: Path) -> WatchConfig:
    """The file as it is. Raises FinalError (``watch-config``) where it is not there or not such a file."""
    try:
        told: dict[str, Any] = json.loads(file.read_text())
        sets = (
            WatchedSet(
                each["name"], os.fsencode(each["path"]), _mount(each), tuple(map(os.fsencode, each.get("inner", ())))
            )
            for each in told["sets"]
        )
        return WatchConfig(str(told["address"]), int(told["port"]), tuple(sets))
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise FinalError(
            f"{file} cannot be used: {wrong}", slug="watch-config", step="watch file sets", hint="secondsite apply"
        ) from wrong


def _inside(inner: Mapping[str, Sequence[str]] | None, name: str) -> dict[str, list[str]]:
    found = list((inner or {}).get(name, ()))
    return {"inner": found} if found else {}


def _mount(told: Mapping[str, Any]) -> bytes | None:
    return os.fsencode(told["mount"]) if told.get("mount") else None
