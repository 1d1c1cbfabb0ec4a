"""Put what is here out of the way without losing a byte of it, and another copy in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from secondsite.errors import FinalError, RetryableError
from secondsite.files.zfs import names, parse
from secondsite.files.zfs.host import Host, digits
from secondsite.files.zfs.model import Dataset, Tree
from secondsite.files.zfs.names import below, incoming

BUSY_TIMES, BUSY_SECONDS = 10, 0.5
_COPY = ("-o", "canmount=noauto", "-o", "mountpoint=none", "-o", "readonly=on")


async def retire(host: Host, tree: Tree) -> None:
    """A copy is not mounted, and cannot be written to. Repeatable; children first.

    Raises RetryableError (``files-in-use``) where somebody still uses it.
    """
    for each in reversed(tree.datasets):
        name = below(tree.root, each.path)
        if not each.readonly:
            await host.put(name, readonly="on")
        if each.canmount == "on":
            await host.put(name, canmount="noauto")
        if each.mounted:
            done = await host.run("zfs", "umount", name, check=False)
            if not done.ok:
                raise RetryableError(
                    f"{each.mountpoint} is still in use, so nothing is received into {name}: {done.why()}",
                    slug="files-in-use",
                    step="pull files",
                    hint=f"fuser -vm {each.mountpoint} says by whom",
                )


async def clone(host: Host, root: str, path: str, guid: int) -> None:
    """The copy beside begins at a snapshot of the one that is here."""
    tree = await host.tree(root)
    here = tree.get(path) if tree is not None else None
    taken = next((each for each in here.snapshots if each.guid == guid), None) if here is not None else None
    if taken is None:
        raise RetryableError(f"{below(root, path)} has lost the last common snapshot", slug="zfs-broken")
    await host.run("zfs", "clone", *_COPY, f"{below(root, path)}@{taken.name}", below(incoming(root), path))


async def put_away(host: Host, name: str, root: str, going: Callable[[str], None] = lambda to: None) -> None:
    """Rename a tree aside. It keeps no mount point that another needs. going: told its new name before."""
    to = names.aside(root, time.time(), digits())
    going(to)
    await host.put(name, canmount="noauto", mountpoint="none")
    await _rename(host, name, to)


async def swap(host: Host, root: str, path: str, going: Callable[[str], None]) -> None:
    """The copy beside takes the place of the one here, which goes aside. going: told its new name before it goes; the
    run may end between the two, and the next one finds only the copy beside.

    Raises FinalError (``zfs-pool-root``) where the set is a whole pool: that cannot be renamed.
    """
    if "/" not in root:
        raise FinalError(
            f"{path} is the pool {root} itself, which cannot be renamed",
            slug="zfs-pool-root",
            step="pull files",
            hint=f"zfs create -o mountpoint={path} {root}/NAME, and mount the pool elsewhere",
        )
    if await host.tree(root) is not None:
        await put_away(host, root, root, going)
    await _rename(host, incoming(root), root)
    await settle(host, root, path)


async def _rename(host: Host, name: str, to: str) -> None:
    """A receive that was refused, or an unmount, may hold the dataset for a moment longer.

    `zfs rename` unmounts what was cloned from the dataset's snapshots, renames, and mounts it again (changelist_gather
    in libzfs). What went aside earlier is such a clone, and is mounted where its lost files are listed. zfs-fuse still
    holds a file system for a moment after its unmount, so each try of the command made itself fail with "dataset is
    busy". So these are unmounted before, and stay so until the name is changed.
    """
    away = await _mounted_aside(host, name)
    try:
        for _ in range(BUSY_TIMES):
            for each in away:
                await host.run("zfs", "umount", each, check=False)  # in use: then the rename says so
            done = await host.run("zfs", "rename", name, to, check=False)
            if done.ok:
                return
            if "busy" not in done.stderr:
                break
            await asyncio.sleep(BUSY_SECONDS)
        raise RetryableError(f"{name} cannot be renamed: {done.why()}", slug="zfs-broken", step="pull files")
    finally:
        for each in away:
            await host.run("zfs", "mount", each, check=False)  # its files are reached by its name, too


async def _mounted_aside(host: Host, name: str) -> list[str]:
    """What went aside in this pool and is mounted, but for ``name`` itself."""
    pool = name.partition("/")[0]
    words = ("zfs", "list", "-H", "-t", "filesystem", "-o", "name,mountpoint,mounted", "-r", pool)
    rows = parse.mountpoints((await host.run(*words, check=False)).stdout)
    return [
        one
        for one, _, mounted in rows
        if mounted and names.beside(one) and one != name and not one.startswith(f"{name}/")
    ]


async def settle(host: Host, root: str, path: str) -> None:
    """The root's mount point is the set's folder; the others' follow from it."""
    await host.put(root, canmount="noauto", readonly="on", mountpoint=path)
    tree = await host.tree(root)
    for each in tree.datasets[1:] if tree is not None else ():
        if each.mountpoint != f"{path}/{each.path}":
            await host.run("zfs", "inherit", "mountpoint", below(root, each.path))


async def open_up(host: Host, tree: Tree, path: str) -> None:
    """The copy becomes the original: writable, and mounted where the application looks. Repeatable; parents first.

    What somebody wrote into the empty folder meanwhile is moved beside it, never hidden. Raises FinalError
    (``zfs-failed``).
    """
    for each in tree.datasets:
        if each.gone:
            continue
        name = below(tree.root, each.path)
        if each.path == "" and each.mountpoint != path:
            await host.put(name, mountpoint=path)
        if each.readonly:
            await host.put(name, readonly="off")
        if each.canmount != "on":
            await host.put(name, canmount="on")
        if not each.mounted:
            await _mount(host, name, path if each.path == "" else f"{path}/{each.path}")
        await _keep(host, name, each)


async def _mount(host: Host, name: str, at: str) -> None:
    done = await host.run("zfs", "mount", name, check=False)
    if not done.ok and "not empty" in done.stderr:
        folder = host.root / at.lstrip("/")
        folder.rename(Path(f"{folder}.secondsite-aside-{names.stamp(time.time(), digits())}"))
        done = await host.run("zfs", "mount", name, check=False)
    if not done.ok and "already mounted" not in done.stderr:
        raise FinalError(f"{name} cannot be mounted: {done.why()}", slug="zfs-failed", step="files-writable")


async def _keep(host: Host, name: str, dataset: Dataset) -> None:
    """What the other site will need to come back without a full copy is not pruned meanwhile."""
    if dataset.newest is not None and not dataset.newest.held:
        await host.hold(f"{name}@{dataset.newest.name}")


async def settled(host: Host, tree: Tree, path: str) -> Tree | None:
    """A run may have been killed behind the second rename; the tree with its mount point."""
    if tree.datasets[0].mountpoint == "none":
        await settle(host, tree.root, path)
        return await host.tree(tree.root)
    return tree


async def finish_swap(host: Host, root: str, path: str) -> Tree | None:
    """A run may have been killed between the two renames; the tree then."""
    tree = await host.tree(root)
    if tree is None and await host.tree(incoming(root)) is not None:
        await _rename(host, incoming(root), root)
        await settle(host, root, path)
        tree = await host.tree(root)
    return tree


async def room(host: Host, path: str, folder: str) -> str | None:
    """A new dataset beside the one that is mounted at ``path``, mounted at the new ``folder``, for root; None where it
    is none, or a whole pool. Raises FinalError (``zfs-failed``)."""
    root = await host.dataset_at(path)
    if root is None or "/" not in root:
        return None
    name = names.aside(root, time.time(), digits())
    await host.run("zfs", "create", "-o", f"mountpoint={folder}", name)
    (host.root / folder.lstrip("/")).chmod(0o700)
    return name


async def give_back(host: Host, name: str) -> None:
    """Remove a room in which nothing was put; one in which something is stays, and so does one that is in use."""
    await host.run("zfs", "umount", name, check=False)
    for _ in range(BUSY_TIMES):
        if (await host.run("zfs", "destroy", name, check=False)).ok:
            return
        await asyncio.sleep(BUSY_SECONDS)
