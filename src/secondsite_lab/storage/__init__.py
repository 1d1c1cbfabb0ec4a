"""Where hosts' disks come from: copy-on-write snapshots of a base image."""

import shutil
from pathlib import Path
from typing import Protocol

from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab
from secondsite_lab.storage import pool
from secondsite_lab.storage.btrfs import BtrfsStore
from secondsite_lab.storage.overlay import OverlayStore
from secondsite_lab.topology import Host


class Store(Protocol):
    """Base images, and what is made of them. Everything is idempotent."""

    def open(self) -> None:
        """Make the store usable on this machine (mount what has to be mounted)."""

    def image(self, key: str) -> Path:
        """Where the finished base image with this key is; it exists or it does not."""

    def begin_image(self, key: str) -> Path:
        """An empty directory in which to build an image."""

    def finish_image(self, key: str) -> Path:
        """Declare the image built: from now on it exists."""

    def discard_unfinished_image(self, key: str) -> None:
        """Remove what an interrupted build left."""

    def prune_images(self, suite: str, keep: int) -> None:
        """Remove all but the newest images of a suite; labs made from them stay as they are."""

    def root(self, lab: Lab, host: Host) -> Path:
        """The root file system of a host as this machine sees it."""

    def disk(self, lab: Lab, host: Host) -> Path:
        """The image file of a host's data disk."""

    def create(self, lab: Lab, host: Host, key: str) -> None:
        """A new root for a host, made from a base image."""

    def attach(self, lab: Lab, host: Host) -> None:
        """Make `root` reachable."""

    def detach(self, lab: Lab, host: Host) -> None:
        """Undo `attach`; the contents stay."""

    def save(self, lab: Lab, label: str) -> None:
        """Keep a copy of all disks of a lab whose hosts are off."""

    def require_saved(self, lab: Lab, label: str) -> None:
        """Raise, with what is there, when nothing was kept under this label."""

    def restore(self, lab: Lab, label: str) -> None:
        """Put all disks of a lab back to a copy kept before."""

    def saved(self, lab: Lab) -> list[str]:
        """The labels kept for a lab."""

    def destroy(self, lab: Lab) -> None:
        """Remove everything that belongs to a lab."""


def best_kind() -> str:
    """btrfs where the kernel and the tools have it, overlayfs otherwise."""
    return "btrfs" if shutil.which("mkfs.btrfs") and pool.kernel_has("btrfs") else "overlay"


def store_of(kind: str) -> Store:
    """The store of a kind that `best_kind` named before."""
    if kind == "btrfs":
        return BtrfsStore()
    if kind == "overlay":
        return OverlayStore()
    raise LabError(f"unknown storage {kind!r}", "use btrfs or overlay")
