"""A second net under a rewind: the stopped cluster as it is, where that takes neither time nor space."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from secondsite import process
from secondsite.clock import Clock
from secondsite.errors import SecondsiteError

COPY_SECONDS = 600
SNAPSHOT_SECONDS = 60
SNAPSHOT = "secondsite-before-rewind-"  # of a dataset; never removed by us


@dataclass(frozen=True, slots=True)
class Kept:
    """folder: a copy that shares its blocks (btrfs, XFS). snapshots: of ZFS datasets, where there is no such copy.
    missing: what of the cluster lies elsewhere (pg_wal, tablespaces) and is in neither."""

    folder: Path | None = None
    snapshots: tuple[str, ...] = ()
    missing: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return str(self.folder) if self.folder is not None else " and ".join(self.snapshots)


async def keep_whole(data: Path, clock: Clock) -> Kept | None:
    """Keep the data folder of a stopped cluster; None where its file system cannot share blocks."""
    stamp = clock.now().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return await _copied(data, data.with_name(f"{data.name}.aside-{stamp}")) or await _snapshot(data, stamp)


async def _copied(data: Path, aside: Path) -> Kept | None:
    """What a symbolic link leads to is copied in the link's place. Where that cannot be, no link is left either:
    whoever starts the copy one day would write into the WAL or the tablespaces of the cluster that lives on."""
    if not await _shared(data, aside):
        return None
    missing = []
    for link in elsewhere(data):
        place = aside / link.relative_to(data)
        place.unlink()
        if not await _shared(link.resolve(), place):
            missing.append(link.resolve())
    return Kept(folder=aside, missing=tuple(missing))


def elsewhere(data: Path) -> list[Path]:
    """The links by which a cluster has folders on other disks: its WAL, its tablespaces."""
    return [path for path in (*data.iterdir(), *data.glob("pg_tblspc/*")) if path.is_symlink() and path.is_dir()]


async def _shared(folder: Path, copy: Path) -> bool:
    """Whether a copy was made that shares its blocks; where not, nothing is left of it."""
    try:
        done = await process.run(
            ["cp", "--archive", "--reflink=always", str(folder), str(copy)], timeout=COPY_SECONDS, check=False
        )
    except SecondsiteError:  # it took too long: the copy is a second net, and no reason to stop
        shutil.rmtree(copy, ignore_errors=True)
        return False
    if not done.ok:
        shutil.rmtree(copy, ignore_errors=True)
    return done.ok


async def _snapshot(data: Path, stamp: str) -> Kept | None:
    """A snapshot of each dataset that the cluster lies in. None of the data folder's own: nothing is kept."""
    try:
        listed = await process.run(
            ["zfs", "list", "-H", "-t", "filesystem", "-o", "name,mountpoint,mounted"],
            timeout=SNAPSHOT_SECONDS,
            check=False,
        )
    except SecondsiteError:  # no ZFS here
        return None
    made: list[str] = []
    missing: list[Path] = []
    for folder in (data, *(link.resolve() for link in elsewhere(data))):
        dataset = dataset_of(listed.stdout.splitlines(), folder)
        name = f"{dataset}@{SNAPSHOT}{stamp}"
        if dataset is not None and (name in made or await _taken(name)):
            made = [*dict.fromkeys((*made, name))]
        elif folder == data:
            return None
        else:
            missing.append(folder)
    return Kept(snapshots=tuple(made), missing=tuple(missing))


async def _taken(name: str) -> bool:
    try:
        return (await process.run(["zfs", "snapshot", name], timeout=SNAPSHOT_SECONDS, check=False)).ok
    except SecondsiteError:
        return False


def dataset_of(listing: Iterable[str], folder: Path) -> str | None:
    """The dataset that ``folder`` is in, from lines "name, mountpoint, mounted"; None where it is in none, or in
    another file system that is mounted within one."""
    rows = [line.split("\t") for line in listing]
    above = [
        (Path(row[1]), row[0])
        for row in rows
        if len(row) == 3 and row[2] == "yes" and row[1].startswith("/") and folder.is_relative_to(row[1])
    ]
    if not above:
        return None
    mountpoint, name = max(above, key=lambda each: len(each[0].parts))
    return name if mountpoint.stat().st_dev == folder.stat().st_dev else None
