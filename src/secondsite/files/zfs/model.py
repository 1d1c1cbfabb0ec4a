"""What a tree of datasets is at one moment, as plain frozen data. Sizes in bytes, times in unix seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot, or a bookmark. name: what stands behind the @ (or #). guid: the same at both sites; a name is not.

    txg: its place in the pool's order; a clock may be set back. held: how many holds it has. written: since the one
    before; None where this ZFS does not tell.
    """

    name: str
    guid: int
    txg: int
    created: int = 0
    held: int = 0
    written: int | None = None
    bookmark: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """One file system of a tree. path: its name below the root's, empty for the root.

    snapshots, bookmarks: oldest first. written: since the last snapshot; None where this ZFS does not tell. token,
    token_guid: of a receive that was broken off, and the snapshot it was of (None where it cannot be read).
    origin: guid of the snapshot that it is a clone of. gone: marked as no longer at the source.
    """

    path: str
    guid: int
    snapshots: tuple[Snapshot, ...] = ()
    bookmarks: tuple[Snapshot, ...] = ()
    written: int | None = None
    mounted: bool = False
    mountpoint: str = ""
    readonly: bool = False
    canmount: str = "on"
    encrypted: bool = False
    token: str | None = None
    token_guid: int | None = None
    origin: str | None = None
    gone: bool = False

    @property
    def newest(self) -> Snapshot | None:
        return self.snapshots[-1] if self.snapshots else None

    def with_guid(self, guid: int) -> Snapshot | None:
        """The snapshot, else the bookmark, of this guid."""
        return next((each for each in (*self.snapshots, *self.bookmarks) if each.guid == guid), None)


@dataclass(frozen=True, slots=True)
class Tree:
    """A dataset and all below it, parents first. root: the full name of the first."""

    root: str
    datasets: tuple[Dataset, ...]

    def get(self, path: str) -> Dataset | None:
        return next((each for each in self.datasets if each.path == path), None)


@dataclass(frozen=True, slots=True)
class Features:
    """What the zfs programs of a host can. send: letters of the options of `zfs send`; zfs-fuse has few.

    resume: `receive -s`. exclude: `receive -x` and `-o`. many: several snapshots by one command.
    """

    send: str = ""
    resume: bool = False
    exclude: bool = False
    unmounted: bool = True
    bookmarks: bool = False
    many: bool = False
    sync: bool = False
