"""What a person may ask of the versions of a set at this host; each act answers one document."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.errors import UsageError
from secondsite.events import Emit
from secondsite.files import store as records
from secondsite.files.store import STORE
from secondsite.files.versions.child import work
from secondsite.files.versions.fetch import fetch
from secondsite.spec import FileSet, Spec

LOOKS = ("versions-list", "versions-diff")
CHANGES = ("versions-restore", "versions-offer", "versions-withdraw", "versions-fetch")
_TAKEN = {
    "versions-list": {"path", "at", "id"},
    "versions-diff": {"path", "from", "to"},
    "versions-restore": {"path", "at", "id", "to", "dry_run"},
    "versions-offer": {"path", "at", "id", "dry_run"},
    "versions-withdraw": {"offer"},
    "versions-fetch": {"path", "offer", "dry_run"},
}


async def perform(
    kind: str, fileset: FileSet, arguments: Mapping[str, Any], *, peer: str, port: int, emit: Emit, store: Path = STORE
) -> dict[str, Any]:
    """One act. peer, port: the other site's daemon. Raises SecondsiteError, OSError."""
    order = {key: value for key, value in arguments.items() if key != "set"}
    if kind not in _TAKEN or not set(order) <= _TAKEN[kind]:
        unknown = ", ".join(sorted(set(order) - _TAKEN.get(kind, set()))) or kind
        raise UsageError(f"unknown argument of {kind}: {unknown}", slug="no-such-argument")
    if kind == "versions-fetch":
        return await fetch(
            fileset,
            peer,
            port,
            offer=str(order.get("offer")),
            path=str(order.get("path") or ""),
            dry_run=bool(order.get("dry_run")),
            emit=emit,
            store=store,
        )
    order["promotions"] = records.load(fileset.name, store).promotions
    if kind == "versions-restore":
        order = {**_beside(fileset), **order}
    return await work(kind.removeprefix("versions-"), fileset.name, str(fileset.path), order, emit=emit)


async def file_facts(spec: Spec, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """For the other site's verification: what rsync does not compare of the files that it names (``facts.facts``).

    Raises UsageError (``bad-request``, ``no-such-set``).
    """
    name, paths = request.get("set"), request.get("paths")
    fileset = next((one for one in spec.files if one.name == name), None)
    if fileset is None:
        raise UsageError(f"there is no file set {name}", slug="no-such-set")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise UsageError("the request names no paths", slug="bad-request")
    return await work("facts", fileset.name, str(fileset.path), {"paths": paths})


def _beside(fileset: FileSet) -> dict[str, str]:
    """A new folder beside the set, in a room that is for root: what is restored has the modes it had, and nobody else
    is to find it in a place where an application may look."""
    folder = Path(os.path.realpath(fileset.path))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    room = folder.with_name(f"{folder.name}.restored-{stamp}")
    return {"to": str(room / folder.name), "room": str(room)}
