"""The versions of a set that ZFS mirrors: the snapshots of its tree of datasets. Nothing is made or removed here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError
from secondsite.files.versions import manifest, place
from secondsite.files.versions.entry import FOLDER, Entry, Groups, read
from secondsite.files.versions.place import Folder
from secondsite.files.versions.version import Report, Version
from secondsite.files.versions.walk import FOLDER_FLAGS
from secondsite.files.zfs import look, names, parse
from secondsite.files.zfs.host import Host
from secondsite.files.zfs.model import Dataset, Snapshot, Tree
from secondsite.files.zfs.names import below

KIND = "zfs"


@dataclass(frozen=True, slots=True)
class Reading:
    """A version that is mounted: it stays as long as this is."""

    root: int
    version: Version

    def entries(self, path: str = "", *, ancestors: bool = False) -> Iterator[Entry]:
        """By walking through it: a snapshot has no list."""
        return walked(self.root, path, ancestors=ancestors)

    def untouched(self, entry: Entry, seen: os.stat_result, *, promotions: int) -> bool:
        """A snapshot shares nothing with what is written later."""
        return True


class Snapshots:
    """``Keeping`` for a tree of datasets. Rounds make the snapshots and prune them (zfs/round.py, zfs/retain.py)."""

    def __init__(self, folder: Folder, given: Mapping[str, Any]) -> None:
        """given: as ``told`` has it."""
        self._set = folder
        self._dataset = str(given["dataset"])
        self._store = Path(given["store"])
        self._host = Host(tuple(given["prefix"]), Path(given["root"]))
        self._only_kept = bool(given["only_kept"])
        asyncio.run(look.sweep(self._host, self._store))

    def make(self, *, made_at: float, complete_at: float | None, promotions: int, report: Report) -> Version | None:
        """Never: a round has made it."""
        return None

    def remove(self, version: Version, report: Report) -> bool:
        """Never: a round does, which knows what is needed as a base."""
        return False

    def list(self) -> tuple[Version, ...]:
        """The oldest first. Raises FinalError (``zfs-no-dataset``, ``zfs-failed``)."""
        return tuple(version for version, _ in self._listed(self._tree()))

    @contextmanager
    def open(self, version: Version) -> Iterator[Reading]:
        """Raises FinalError (``no-such-version``) where it has gone since it was listed, or ``look.begin``'s."""
        tree = self._tree()
        with self._mounted(tree, self._taken(tree, version)) as root:
            yield Reading(root, version)

    def home(self) -> Path:
        """Raises FinalError (``versions-not-ours``)."""
        return place.kept(self._set)

    @contextmanager
    def now(self) -> Iterator[int]:
        """The set as it is: its folder where it is mounted, else the newest that was received whole."""
        tree = self._tree()
        if tree.datasets[0].mounted:
            root = os.open(self._seen(tree.datasets[0].mountpoint), FOLDER_FLAGS)
            try:
                yield root
            finally:
                os.close(root)
            return
        whole = complete(tree)
        if not whole:
            raise FinalError(
                f"nothing of {self._set.name} has been received whole yet",
                slug="no-such-version",
                hint="secondsite status",
            )
        with self._mounted(tree, whole[-1][1]) as root:
            yield root

    def lend(self, version: Version, to: Path) -> bool:
        """Mounted where the other site's fetch finds it: no room is needed, however large it is."""
        tree = self._tree()
        look.lent(asyncio.run(look.begin(self._host, self._store, tree, self._taken(tree, version), str(to))))
        return True

    def take_back(self, to: Path) -> bool:
        """Raises RetryableError (``files-in-use``)."""
        return asyncio.run(look.take_back(self._host, self._store, str(to)))

    def refuse(self, to: Path) -> None:
        """A copy is read-only, and what is written into the folder below which it is not mounted would be hidden by a
        failover. Raises FinalError (``restore-in-the-way``)."""
        folder = Path(os.path.realpath(self._set.path))
        if Path(os.path.realpath(to)).is_relative_to(folder):
            raise FinalError(
                f"{to} lies in the folder of {self._set.name}, whose dataset belongs to ZFS; nothing is written there",
                slug="restore-in-the-way",
                hint=f"leave --to out, or secondsite files restore {self._set.name} PATH --to-primary",
            )

    def _tree(self) -> Tree:
        tree = asyncio.run(self._host.tree(self._dataset))
        if tree is None or not tree.datasets:
            raise FinalError(
                f"the dataset {self._dataset} of {self._set.name} is not here",
                slug="zfs-no-dataset",
                step=f"versions of {self._set.name}",
                hint="zfs list -t all",
            )
        return tree

    def _listed(self, tree: Tree) -> Sequence[tuple[Version, Mapping[str, str]]]:
        sizes = self._sizes()
        found = complete(tree)
        if self._only_kept:
            found = [each for each in found if not names.ours(each[0].name)]
        return [(self._version(count, each, taken, sizes), taken) for count, (each, taken) in enumerate(found)]

    def _version(self, number: int, top: Snapshot, taken: Mapping[str, str], sizes: Mapping[str, int]) -> Version:
        counted = [sizes.get(f"{below(self._dataset, path)}@{name}") for path, name in taken.items()]
        return Version(
            id=number_of(top),
            set=self._set.name,
            number=number,
            kind=KIND,
            made_at=float(top.created),
            complete_at=float(top.created),
            entries=None,
            bytes=sum(each or 0 for each in counted),
            digest="",
            snapshot=f"{self._dataset}@{top.name}",
        )

    def _sizes(self) -> Mapping[str, int]:
        words = ("zfs", "get", "-Hpr", "-o", "name,property,value,source", "referenced", self._dataset)
        rows = parse.table(asyncio.run(self._host.run(*words)).stdout)
        return {name: size for name, row in rows.items() if (size := parse.number(row.get("referenced"))) is not None}

    def _taken(self, tree: Tree, version: Version) -> Mapping[str, str]:
        found = next((taken for each, taken in complete(tree) if number_of(each) == version.id), None)
        if found is None:
            raise FinalError(
                f"version {version.id} of {self._set.name} has just been removed",
                slug="no-such-version",
                hint=f"secondsite files list {self._set.name}",
            )
        return found

    @contextmanager
    def _mounted(self, tree: Tree, taken: Mapping[str, str]) -> Iterator[int]:
        looking = asyncio.run(look.begin(self._host, self._store, tree, taken))
        try:
            root = os.open(self._seen(looking.folder), FOLDER_FLAGS)
            try:
                yield root
            finally:
                os.close(root)
        finally:
            with contextlib.suppress(RetryableError):  # somebody else is in there: it goes when he does
                asyncio.run(look.end(self._host, looking))

    def _seen(self, folder: str) -> Path:
        return self._host.root / folder.lstrip("/")


def told(host: Host, dataset: str, store: Path, *, only_kept: bool) -> dict[str, Any]:
    """For the process that works on versions. only_kept: without the snapshots that are there for the next round."""
    body = {"dataset": dataset, "store": str(store), "prefix": list(host.prefix), "root": str(host.root)}
    return body | {"only_kept": only_kept}


def number_of(snapshot: Snapshot) -> str:
    """How it is addressed: by the number in its name where it is ours, else by its time and the end of its guid, which
    is the same at both sites."""
    return names.number_of(snapshot.name) or names.stamp(snapshot.created, f"{snapshot.guid & 0xFFFFFFFF:08x}")


def complete(tree: Tree) -> list[tuple[Snapshot, dict[str, str]]]:
    """Pure: the snapshots of the root that every dataset has which was there then, with what each path has; oldest
    first. One that is half received, or was taken of one dataset alone, is no version of the set."""
    found = []
    for top in tree.datasets[0].snapshots:
        taken = {each.path: top.name for each in tree.datasets if _named(each, top.name) is not None}
        if all(each.path in taken or not _was_there(each, top) for each in tree.datasets):
            found.append((top, taken))
    return found


def _was_there(dataset: Dataset, top: Snapshot) -> bool:
    """Whether a dataset without that snapshot has an earlier one; one that is gone at the source, a later one too."""
    earlier = any(each.created < top.created for each in dataset.snapshots)
    return earlier and (not dataset.gone or any(each.created > top.created for each in dataset.snapshots))


def _named(dataset: Dataset, name: str) -> Snapshot | None:
    return next((each for each in dataset.snapshots if each.name == name), None)


def walked(root: int, path: str = "", *, ancestors: bool = False) -> Iterator[Entry]:
    """What the open folder has at and below ``path``, in the order of a manifest; nothing where it is not there.

    No link on the way is followed. ancestors: the folders above, too. Raises OSError.
    """
    if not path:
        yield from (entry for entry, _ in manifest.entries(root))
        return
    *above, name = path.split("/")
    folder = os.dup(root)
    try:
        if ancestors:
            yield _itself(folder, "")
        for depth, part in enumerate(above, 1):
            try:
                inner = os.open(part, FOLDER_FLAGS, dir_fd=folder)
            except OSError:  # not there, or no folder
                return
            os.close(folder)
            folder = inner
            if ancestors:
                yield _itself(folder, "/".join(above[:depth]))
        yield from _below(folder, path, name)
    finally:
        os.close(folder)


def _below(folder: int, path: str, name: str) -> Iterator[Entry]:
    try:
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
        entry = read(path, name, folder, seen)
    except FileNotFoundError:
        return
    if entry is None:
        return
    yield Groups().told(entry, seen)
    if entry.kind != FOLDER:
        return
    inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    try:
        for one, _ in manifest.entries(inner):
            if one.path:
                group = None if one.group is None else f"{path}/{one.group}"
                yield replace(one, path=f"{path}/{one.path}", group=group)
    finally:
        os.close(inner)


def _itself(folder: int, path: str) -> Entry:
    entry = read(path, ".", folder, os.fstat(folder))
    assert entry is not None
    return entry
