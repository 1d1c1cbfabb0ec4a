"""Hosts as btrfs snapshots: made, kept and put back in milliseconds."""

import time
from pathlib import Path

from secondsite_lab.errors import CommandFailed, LabError
from secondsite_lab.lab import Lab, known_labs
from secondsite_lab.run import run, succeeds
from secondsite_lab.storage import pool
from secondsite_lab.topology import Host

REMOVALS = 5


class BtrfsStore:
    """A `Store` on the shared btrfs pool."""

    def open(self) -> None:
        if pool.open_pool():
            self._sweep()

    def _sweep(self) -> None:
        """Remove the disks of labs that the machine's last restart ended: their records are gone."""
        known = {lab.name for lab in known_labs()}
        for path in (*(pool.mount_point() / "labs").iterdir(), *(pool.mount_point() / "saves").iterdir()):
            if path.name not in known:
                _delete_tree(path)

    def image(self, key: str) -> Path:
        return pool.mount_point() / "images" / key

    def _unfinished(self, key: str) -> Path:
        return pool.mount_point() / "images" / f".building-{key}"

    def begin_image(self, key: str) -> Path:
        self.discard_unfinished_image(key)
        run(["btrfs", "subvolume", "create", self._unfinished(key)])
        return self._unfinished(key)

    def finish_image(self, key: str) -> Path:
        self._unfinished(key).rename(self.image(key))
        return self.image(key)

    def discard_unfinished_image(self, key: str) -> None:
        _delete_tree(self._unfinished(key))

    def prune_images(self, suite: str, keep: int) -> None:
        images = (pool.mount_point() / "images").glob(f"{suite}-*")
        for image in sorted(images, key=lambda path: path.stat().st_ctime, reverse=True)[keep:]:
            _delete_tree(image)

    def _home(self, lab: Lab) -> Path:
        return pool.mount_point() / "labs" / lab.name

    def _saves(self, lab: Lab) -> Path:
        return pool.mount_point() / "saves" / lab.name

    def root(self, lab: Lab, host: Host) -> Path:
        return self._home(lab) / host.name

    def disk(self, lab: Lab, host: Host) -> Path:
        return self._home(lab) / "disks" / f"{host.name}.ext4"

    def create(self, lab: Lab, host: Host, key: str) -> None:
        disks = self._home(lab) / "disks"
        if not disks.exists():
            disks.mkdir(parents=True, exist_ok=True)
            # A file system inside a file wants to be written in place.
            run(["chattr", "+C", disks])
        _snapshot(self.image(key), self.root(lab, host))

    def attach(self, lab: Lab, host: Host) -> None:
        if not self.root(lab, host).is_dir():
            raise LabError(f"{host.name} of lab {lab.name} has no disk", "run secondsite-lab down, then up")

    def detach(self, lab: Lab, host: Host) -> None:
        return

    def save(self, lab: Lab, label: str) -> None:
        unfinished = self._saves(lab) / f".new-{label}"
        _delete_tree(unfinished)
        unfinished.mkdir(parents=True)
        _copy_disks(self._home(lab), unfinished)
        _delete_tree(self._saves(lab) / label)
        unfinished.rename(self._saves(lab) / label)

    def require_saved(self, lab: Lab, label: str) -> None:
        if label not in self.saved(lab):
            known = ", ".join(self.saved(lab)) or "nothing"
            raise LabError(f"lab {lab.name} has no saved state {label!r}", f"saved so far: {known}")

    def restore(self, lab: Lab, label: str) -> None:
        saved = self._saves(lab) / label
        home = self._home(lab)
        _delete_tree(home)
        home.mkdir()
        _copy_disks(saved, home)

    def saved(self, lab: Lab) -> list[str]:
        if not self._saves(lab).is_dir():
            return []
        return sorted(path.name for path in self._saves(lab).iterdir() if not path.name.startswith("."))

    def destroy(self, lab: Lab) -> None:
        _delete_tree(self._home(lab))
        _delete_tree(self._saves(lab))


def _copy_disks(source: Path, target: Path) -> None:
    """Snapshot the roots and reflink the data disks of one folder into another."""
    for path in sorted(path for path in source.iterdir() if not path.name.startswith(".")):
        if path.name == "disks":
            (target / "disks").mkdir()
            run(["chattr", "+C", target / "disks"])
            run(["cp", "--archive", "--reflink=always", *sorted(path.iterdir()), target / "disks"])
        else:
            _snapshot(path, target / path.name)


def _snapshot(source: Path, target: Path) -> None:
    run(["btrfs", "subvolume", "snapshot", source, target])
    for nested in _subvolumes_below(source):
        # A snapshot leaves an empty folder where a subvolume was: put a snapshot of that in its place.
        (target / nested).rmdir()
        run(["btrfs", "subvolume", "snapshot", source / nested, target / nested])


def _subvolumes_below(directory: Path) -> list[Path]:
    """Subvolumes inside a subvolume, relative to it, parents first."""
    found = []
    relative = directory.relative_to(pool.mount_point())
    for line in run(["btrfs", "subvolume", "list", pool.mount_point()]).splitlines():
        path = Path(line.split(" path ", 1)[1])
        if relative in path.parents:
            found.append(path.relative_to(relative))
    return sorted(found)


def _delete_tree(directory: Path) -> None:
    """Remove a folder with all subvolumes in it; that it is not there is fine.

    What a killed `up` has left running may make one more meanwhile: then all of it is looked through again.
    """
    for left in reversed(range(REMOVALS)):
        if not directory.exists():
            return
        try:
            for nested in reversed(_subvolumes_below(directory)):
                run(["btrfs", "subvolume", "delete", directory / nested])
            if not succeeds(["btrfs", "subvolume", "delete", directory]):
                run(["rm", "-rf", "--one-file-system", directory])
        except CommandFailed:
            if not left:
                raise
            time.sleep(0.2)
