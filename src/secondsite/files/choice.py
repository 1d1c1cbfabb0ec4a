"""Which engine mirrors a set. Decided at the standby before its first pull, from what both sites have; then it stays.

It must stay: a copy by ZFS is not mounted, and an rsync that took its place because the other site was in trouble
would write into the empty folder below it.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit, ignore
from secondsite.files import store as records
from secondsite.files.engine import Engine, Rsync, engine_for
from secondsite.files.offer.seal import TokenFile
from secondsite.files.rsync.pull import TIMEOUT_SECONDS, PullResult
from secondsite.files.store import STORE
from secondsite.files.zfs import ask, beside
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.engine import Zfs
from secondsite.files.zfs.host import HERE, Host
from secondsite.spec import FileSet, Spec, paths

_NOT_THERE = ("zfs-no-dataset", "files-door-refused", "files-door-silent", "program-missing")


async def pull(
    spec: Spec,
    fileset: FileSet,
    source: str,
    *,
    timeout: float = TIMEOUT_SECONDS,
    emit: Emit = ignore,
    store: Path = STORE,
) -> PullResult:
    """One pull by the set's engine. Raises what the engine's ``pull`` does, and FinalError (``zfs-impossible``)."""
    engine = await chosen(fileset, _door(spec, source), store=store)
    return await engine.pull(source, spec.tunnel.files_port, timeout=timeout, emit=emit)


def current(spec: Spec, fileset: FileSet, source: str, *, store: Path = STORE) -> Engine:
    """The engine by which the set has been pulled so far, with the door where the service's file says that it is."""
    engine = engine_for(fileset, store)
    return Zfs(fileset, store, door=_door(spec, source)) if isinstance(engine, Zfs) else engine


def _door(spec: Spec, source: str) -> Door:
    return Door(source, spec.tunnel.watch_port, TokenFile(paths.PEER_TOKEN))


async def chosen(fileset: FileSet, door: Door, *, store: Path = STORE, host: Host | None = None) -> Engine:
    """The engine. Raises FinalError (``zfs-impossible``) where the file says zfs and it cannot be."""
    here, record = host or HERE, records.load(fileset.name, store)
    zfs = Zfs(fileset, store, host=here, door=door)
    if record.engine == "zfs" and fileset.engine != "rsync":
        return zfs
    if record.engine == "zfs":
        await _back_to_rsync(fileset, store, here, record.dataset)
    if fileset.engine == "rsync" or (record.engine == "rsync" and fileset.engine == "auto"):
        return Rsync(fileset, store)
    root, why = await _possible(fileset, door, here, installed=host is not None or shutil.which("zfs") is not None)
    if root is not None:
        record = records.load(fileset.name, store)  # the door took its time, and the copy may be the original by now
        records.save(fileset.name, replace(record, engine="zfs", dataset=root, settled=False), store)
        return zfs
    if fileset.engine == "zfs":
        raise FinalError(
            f"the file set {fileset.name} cannot be mirrored by ZFS: {why}",
            slug="zfs-impossible",
            step="pull files",
            hint=f'zfs create -o mountpoint={fileset.path} POOL/{fileset.name} at both sites, or engine = "auto"',
        )
    return Rsync(fileset, store)


async def _possible(fileset: FileSet, door: Door, here: Host, *, installed: bool) -> tuple[str | None, str]:
    """The dataset here, or why not."""
    if not installed:
        return None, "zfs is not installed here"
    root = await here.dataset_at(str(fileset.path))
    if root is None:
        return None, f"{fileset.path} is no dataset's mount point here"
    if "/" not in root:
        return None, f"{fileset.path} is the pool {root} itself; it has to be a dataset in it"
    try:
        async with ask.asked(door, fileset.name, "look"):
            return root, ""
    except SecondsiteError as failed:
        if failed.slug in _NOT_THERE or fileset.engine == "zfs":
            return None, failed.message
        raise


async def _back_to_rsync(fileset: FileSet, store: Path, here: Host, dataset: str | None) -> None:
    """Somebody has written engine = "rsync": the copy is mounted again, and goes on as a folder."""
    tree = await here.tree(dataset) if dataset is not None else None
    if tree is not None:
        await beside.open_up(here, tree, str(fileset.path))
    records.save(fileset.name, replace(records.load(fileset.name, store), engine="rsync", dataset=None), store)
