"""Hosts as overlay mounts: for machines whose kernel has no btrfs. Saving and restoring copies the upper layers."""

from pathlib import Path

from secondsite_lab import mounts
from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab, cache_directory
from secondsite_lab.run import run
from secondsite_lab.topology import Host


class OverlayStore:
    """A `Store` in plain folders of the cache directory."""

    def open(self) -> None:
        for name in ("images", "labs", "saves"):
            (cache_directory() / "overlay" / name).mkdir(parents=True, exist_ok=True)

    def image(self, key: str) -> Path:
        return cache_directory() / "overlay" / "images" / key

    def _unfinished(self, key: str) -> Path:
        return cache_directory() / "overlay" / "images" / f".building-{key}"

    def begin_image(self, key: str) -> Path:
        self.discard_unfinished_image(key)
        self._unfinished(key).mkdir(parents=True)
        return self._unfinished(key)

    def finish_image(self, key: str) -> Path:
        self._unfinished(key).rename(self.image(key))
        return self.image(key)

    def discard_unfinished_image(self, key: str) -> None:
        _remove(self._unfinished(key))

    def prune_images(self, suite: str, keep: int) -> None:
        images = cache_directory() / "overlay" / "images"
        used = self._images_in_use()
        newest = sorted(images.glob(f"{suite}-*"), key=lambda path: path.stat().st_ctime, reverse=True)
        for image in newest[keep:]:
            if image.name not in used:
                _remove(image)

    def _images_in_use(self) -> set[str]:
        """Images below some lab's layers, or below saved ones."""
        overlay = cache_directory() / "overlay"
        notes = [*overlay.glob("labs/*/*/image"), *overlay.glob("saves/*/*/*/image")]
        return {note.read_text() for note in notes}

    def _home(self, lab: Lab) -> Path:
        return cache_directory() / "overlay" / "labs" / lab.name

    def _saves(self, lab: Lab) -> Path:
        return cache_directory() / "overlay" / "saves" / lab.name

    def root(self, lab: Lab, host: Host) -> Path:
        return lab.host_state(host) / "root"

    def disk(self, lab: Lab, host: Host) -> Path:
        return self._home(lab) / f"{host.name}.ext4"

    def create(self, lab: Lab, host: Host, key: str) -> None:
        layers = self._home(lab) / host.name
        for name in ("upper", "work"):
            (layers / name).mkdir(parents=True)
        (layers / "image").write_text(key)

    def attach(self, lab: Lab, host: Host) -> None:
        layers, root = self._home(lab) / host.name, self.root(lab, host)
        root.mkdir(parents=True, exist_ok=True)
        if not mounts.is_mounted(root):
            lower = self.image((layers / "image").read_text())
            options = f"lowerdir={lower},upperdir={layers / 'upper'},workdir={layers / 'work'}"
            run(["mount", "-t", "overlay", "-o", options, "overlay", root])

    def detach(self, lab: Lab, host: Host) -> None:
        mounts.unmount_below(self.root(lab, host))

    def save(self, lab: Lab, label: str) -> None:
        unfinished = self._saves(lab) / f".new-{label}"
        _remove(unfinished)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        _copy(self._home(lab), unfinished)
        _remove(self._saves(lab) / label)
        unfinished.rename(self._saves(lab) / label)

    def require_saved(self, lab: Lab, label: str) -> None:
        if label not in self.saved(lab):
            known = ", ".join(self.saved(lab)) or "nothing"
            raise LabError(f"lab {lab.name} has no saved state {label!r}", f"saved so far: {known}")

    def restore(self, lab: Lab, label: str) -> None:
        saved = self._saves(lab) / label
        _remove(self._home(lab))
        _copy(saved, self._home(lab))

    def saved(self, lab: Lab) -> list[str]:
        if not self._saves(lab).is_dir():
            return []
        return sorted(path.name for path in self._saves(lab).iterdir() if not path.name.startswith("."))

    def destroy(self, lab: Lab) -> None:
        _remove(self._home(lab))
        _remove(self._saves(lab))


def _copy(source: Path, target: Path) -> None:
    run(["cp", "--archive", "--reflink=auto", "--sparse=always", source, target], timeout=300)


def _remove(directory: Path) -> None:
    run(["rm", "-rf", "--one-file-system", directory], timeout=120)
