"""What a person may ask of the versions of a set at this host; each act answers one document."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.errors import UsageError
from secondsite.events import Emit
from secondsite.files import store as records
from secondsite.files.store import PULLED, STORE, Record
from secondsite.files.versions.child import work
from secondsite.files.versions.fetch import fetch
from secondsite.files.zfs.host import HERE, Host
from secondsite.files.zfs.versions import told
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
    kind: str,
    fileset: FileSet,
    arguments: Mapping[str, Any],
    *,
    peer: str,
    port: int,
    emit: Emit,
    store: Path = STORE,
    host: Host | None = None,
) -> dict[str, Any]:
    """One act. peer, port: the other site's daemon. host: where the set's datasets are, if it has any.

    Raises SecondsiteError, OSError.
    """
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
            host=host,
        )
    order["zfs"] = await _by_zfs(fileset, records.load(fileset.name, store), store, host)
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


async def _by_zfs(fileset: FileSet, record: Record, store: Path, given: Host | None) -> dict[str, Any] | None:
    """Its dataset, where ZFS mirrors it: by the record, or where it was never mirrored to here. None else.

    Of an original that was never a copy, the snapshots of ours are only there for the next round, and soon pruned.
    """
    here = given or HERE
    if record.engine == "rsync" or (record.engine is None and fileset.engine == "rsync"):
        return None
    root = record.dataset
    if root is None and (given is not None or shutil.which("zfs") is not None):
        root = await here.dataset_at(str(fileset.path))
    if root is None or "/" not in root:
        return None
    return told(here, root, store, only_kept=record.role != PULLED and record.promotions == 0)


def _beside(fileset: FileSet) -> dict[str, str]:
    """A new folder beside the set, in a room that is for root: what is restored has the modes it had, and nobody else
    is to find it in a place where an application may look."""
    folder = Path(os.path.realpath(fileset.path))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    room = folder.with_name(f"{folder.name}.restored-{stamp}")
    return {"to": str(room / folder.name), "room": str(room)}
