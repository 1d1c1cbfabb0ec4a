"""Mounts and loop devices: looked up in the kernel's own tables, never remembered."""

import re
import time
from pathlib import Path

from secondsite_lab.errors import CommandFailed
from secondsite_lab.run import run


def mount_points() -> list[Path]:
    """Every mount point of this machine, in the order in which they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(_unescape(line.split()[4])) for line in lines]


def _unescape(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly here."""
    return path in mount_points()


def any_below(directory: Path) -> bool:
    """Whether anything is mounted at or below a folder."""
    return any(path == directory or directory in path.parents for path in mount_points())


def mount_loop(image: Path, point: Path, options: str) -> None:
    """Mount a disk image; its loop device goes away with the mount."""
    point.mkdir(parents=True, exist_ok=True)
    run(["mount", "-o", f"loop,{options}", image, point])


def unmount_below(directory: Path, timeout: float = 10) -> None:
    """Unmount everything at and below a directory, the newest first."""
    deadline = time.monotonic() + timeout
    for point in reversed([path for path in mount_points() if path == directory or directory in path.parents]):
        while is_mounted(point):
            try:
                run(["umount", point])
            except CommandFailed:
                # A killed process lets go of its files a moment after it has gone.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def detach_loops(image: Path) -> None:
    """Free loop devices that a killed `mount` left attached to an image.

    What `mount` attached frees itself behind the last umount, so a device that was listed may be gone a moment later.
    """
    for device in _loops(image):
        try:
            run(["losetup", "--detach", device])
        except CommandFailed:
            if device in _loops(image):
                raise


def _loops(image: Path) -> list[str]:
    if not image.exists():
        return []
    return run(["losetup", "--associated", image, "--noheadings", "--output", "NAME"]).split()
