"""Look into a snapshot: a clone of it, read-only, mounted in a folder of ours for as long as it is looked into.

A clone and not the snapshot itself: a copy is not mounted, so it has no ``.zfs``; zfs-fuse has none at all, and cannot
mount a snapshot. A note in the state folder, which is locked by whoever looks, comes before the clone. So what a
process that died has left is known, and the next one removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.files.zfs import names
from secondsite.files.zfs.host import Host, digits
from secondsite.files.zfs.model import Tree
from secondsite.files.zfs.names import below

LOOKS = "looks"  # in the folder of the records
LENT_SECONDS = 86400.0  # the other site has fetched it by then, or never will
END_TIMES, END_SECONDS = 25, 0.2
_KEY = re.compile(r"key (?:is )?not (?:loaded|available)|encryption key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Look:
    """A clone under way. folder: where it is mounted, as its host has it. handle: of the note, which is locked."""

    number: str
    dataset: str
    folder: str
    note: Path
    handle: int


async def begin(host: Host, store: Path, tree: Tree, taken: Mapping[str, str], to: str | None = None) -> Look:
    """Mount the snapshots ``taken`` (path in the tree: short name), each below the one above it. to: a folder where
    another may see it, until ``take_back``; else it is for this process.

    Raises FinalError (``no-such-version`` where one has just been removed, ``zfs-failed``).
    """
    number = names.stamp(time.time(), digits())
    home = _home(host, store)
    folder = to or str(store / LOOKS / number)
    look = _noted(home, number, names.look(tree.root, number), folder, lent=to is not None)
    try:
        for each in tree.datasets:
            if each.path in taken and (each.path == "" or each.path.rpartition("/")[0] in taken):
                await _clone(host, look, tree, each.path, taken[each.path], alone=len(taken) == 1)
    except BaseException:
        with contextlib.suppress(SecondsiteError):
            await end(host, look)
        raise
    return look


async def end(host: Host, look: Look) -> None:
    """It is gone, with its folder. Raises RetryableError (``files-in-use``): then it goes by the next ``sweep``."""
    try:
        await _remove(host, look.number, look.dataset, look.folder)
        look.note.unlink(missing_ok=True)
    finally:
        os.close(look.handle)


def lent(look: Look) -> None:
    """It stays when this process ends, for the other site, until it is taken back or for a day."""
    os.close(look.handle)


async def take_back(host: Host, store: Path, folder: str) -> bool:
    """End what is lent in ``folder``; False where nothing is. Raises RetryableError (``files-in-use``)."""
    for path in sorted(_home(host, store).glob("*.json")):
        with _free(path) as note:
            if note is not None and note["lent"] and note["folder"] == folder:
                await _remove(host, str(note["number"]), str(note["dataset"]), folder)
                path.unlink(missing_ok=True)
                return True
    return False


async def sweep(host: Host, store: Path) -> None:
    """Remove what somebody who died was looking into, and what was lent and never taken back. Cheap where there is
    nothing; what cannot go yet goes the next time."""
    home = host.root / str(store / LOOKS).lstrip("/")
    for path in sorted(home.glob("*.json")) if home.is_dir() else ():
        with _free(path) as note, contextlib.suppress(SecondsiteError):
            if note is not None and not (note["lent"] and 0 <= time.time() - float(note["at"]) < LENT_SECONDS):
                await _remove(host, str(note["number"]), str(note["dataset"]), str(note["folder"]))
                path.unlink(missing_ok=True)


def _home(host: Host, store: Path) -> Path:
    """For root alone: what lies in there has the modes that it had."""
    home = host.root / str(store / LOOKS).lstrip("/")
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    return home


def _noted(home: Path, number: str, dataset: str, folder: str, *, lent: bool) -> Look:
    """The note has its name only when it is locked and complete: nobody takes a half-written one for a dead one's."""
    path = home / f"{number}.json"
    draft = path.with_suffix(".new")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    body = {"number": number, "dataset": dataset, "folder": folder, "lent": lent, "at": time.time()}
    os.write(handle, json.dumps(body).encode())
    os.fsync(handle)
    draft.rename(path)
    return Look(number, dataset, folder, path, handle)


@contextlib.contextmanager
def _free(path: Path) -> Iterator[Mapping[str, Any] | None]:
    """The note, locked; None where somebody is at it, where it is gone, or none of ours."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield _read(handle, path)
    finally:
        os.close(handle)


def _read(handle: int, path: Path) -> Mapping[str, Any] | None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        body = json.loads(path.read_text())
        whole = names.is_look(str(body["dataset"])) and {"number", "folder", "lent", "at"} <= set(body)
        return body if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _clone(host: Host, look: Look, tree: Tree, path: str, snapshot: str, *, alone: bool) -> None:
    """readonly: but for the moment in which a dataset below may have to make its folder in it, nobody can write."""
    source, name = f"{below(tree.root, path)}@{snapshot}", below(look.dataset, path)
    words = ["-o", "canmount=noauto", "-o", f"readonly={'on' if alone else 'off'}", "-o", f"{names.LOOK}={look.number}"]
    if path == "":
        words += ["-o", f"mountpoint={look.folder}"]
    done = await host.run("zfs", "clone", *words, source, name, check=False)
    if not done.ok and "does not exist" in done.stderr:
        raise FinalError(f"snapshot {source} has just been removed", slug="no-such-version", step="look into a version")
    if done.ok or "not mounted" in done.stderr:
        done = await host.run("zfs", "mount", name, check=False)
    if done.ok or "already mounted" in done.stderr:  # zfs-fuse mounts a clone whatever canmount says
        return
    hint = (
        f"zfs load-key -r {tree.root}, look, then zfs unload-key -r {tree.root}" if _KEY.search(done.stderr) else None
    )
    raise FinalError(
        f"snapshot {source} cannot be looked into: {done.why()}",
        slug="zfs-failed",
        step="look into a version",
        hint=hint,
    )


async def _remove(host: Host, number: str, dataset: str, folder: str) -> None:
    """Only what bears our name, our mark with this number, and is a clone."""
    listed = ("zfs", "list", "-H", "-t", "filesystem", "-o", f"name,origin,{names.LOOK}", "-r", dataset)
    for _ in range(END_TIMES):
        done = await host.run(*listed, check=False)
        rows = [line.split("\t") for line in done.stdout.splitlines()] if done.ok else []
        if not rows and "does not exist" in done.stderr:
            break
        if not rows or any(row[1] == "-" or row[2] != number for row in rows):
            raise FinalError(f"{dataset} is none of ours: {done.why()}", slug="zfs-failed", step="look into a version")
        for row in reversed(rows):
            await host.run("zfs", "umount", row[0], check=False)
        await host.run("zfs", "destroy", "-r", dataset, check=False)
        if not (await host.run(*listed, check=False)).ok:
            break
        await asyncio.sleep(END_SECONDS)  # zfs-fuse lets go of a file a moment after whoever had it
    else:
        raise RetryableError(f"{dataset} is still in use", slug="files-in-use", step="look into a version")
    with contextlib.suppress(OSError):
        (host.root / folder.lstrip("/")).rmdir()
