"""File systems of every kind that a set may lie on, each in a file of a temporary folder, full whenever that is wanted.

All of it happens in a mount namespace of its own (``__main__``): what is mounted goes with the process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

SIZES = {"ext4": 384, "btrfs": 384, "overlay": 384, "zfs": 384}  # MiB, of sparse files
KINDS = tuple(SIZES)
LEFT_BYTES = 65_536  # of a full disk


@dataclass(frozen=True, slots=True)
class Disk:
    """folder: where a set may lie. ballast: where what fills the disk lies, beside it."""

    kind: str
    folder: Path
    ballast: Path
    dataset: str | None = None

    def fill(self) -> None:
        """To the last block: the room is taken by a file, and what is left by another one, written until it fails."""
        stat = os.statvfs(self.ballast.parent)
        with contextlib.suppress(OSError), self.ballast.open("wb", buffering=0) as taken:
            if self.kind != "zfs":  # it takes no room in advance
                os.posix_fallocate(taken.fileno(), 0, max(1, stat.f_bavail * stat.f_frsize - LEFT_BYTES))
            taken.seek(0, os.SEEK_END)
            block = os.urandom(1 << 20)
            while True:
                taken.write(block)

    def empty(self) -> None:
        """There is room again. A full ZFS lets nothing be removed, but it lets a file be cut."""
        if self.ballast.exists():
            os.truncate(self.ballast, 0)
            self.ballast.unlink()


def disk(kind: str, base: Path, name: str) -> Disk:
    """A new one of ``kind``, mounted below ``base``."""
    point, image = base / name, base / f"{name}.image"
    point.mkdir()
    with image.open("wb") as sparse:
        sparse.truncate(SIZES[kind] << 20)
    if kind == "zfs":
        return _zfs(point, image, f"{name}-{uuid.uuid4().hex[:8]}")
    if kind == "overlay":
        layers = base / f"{name}.layers"
        layers.mkdir()
        _loop(image, layers, "ext4")
        for layer in ("lower", "upper", "work"):
            (layers / layer).mkdir()
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        _run("mount", "-t", "overlay", "-o", options, "overlay", str(point))
        return Disk(kind, point, layers / "ballast")
    _loop(image, point, kind)
    if kind == "btrfs":
        _run("btrfs", "-q", "subvolume", "create", str(point / "subvolume"))
        return Disk(kind, point / "subvolume", point / "ballast")
    return Disk(kind, point, point / "ballast")


def _loop(image: Path, point: Path, kind: str) -> None:
    _run(f"mkfs.{kind}", "-q", str(image))
    _run("mount", "-o", "loop", str(image), str(point))


def _zfs(point: Path, image: Path, pool: str) -> Disk:
    """A pool with a dataset for the set, and one beside it for what fills the pool."""
    _run("zpool", "create", "-o", "cachefile=none", "-m", "none", pool, str(image))
    (point / "up").mkdir()
    _run("zfs", "create", "-o", f"mountpoint={point / 'beside'}", f"{pool}/beside")
    _run("zfs", "create", "-o", f"mountpoint={point / 'up'}", f"{pool}/up")
    return Disk("zfs", point / "up", point / "beside" / "ballast", f"{pool}/up")


def start_zfs(tools: Path) -> subprocess.Popen[bytes]:
    """zfs-fuse, for as long as this namespace lives. tools: where Debian's packages were unpacked."""
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    Path("/run/lock").mkdir()
    libraries = [str(each) for each in (*tools.glob("lib/*-linux-gnu"), *tools.glob("usr/lib/*-linux-gnu"))]
    os.environ["LD_LIBRARY_PATH"] = ":".join(libraries)
    os.environ["PATH"] = f"{tools}/sbin:{tools}/usr/sbin:{os.environ['PATH']}"
    # It keeps a list of its pools where no test has anything to write.
    state = Path("/var/lib/zfs")
    if not state.is_dir():
        _run("mount", "-t", "overlay", "-o", _above("/var/lib"), "overlay", "/var/lib")
    else:
        _run("mount", "-t", "tmpfs", "tmpfs", str(state))
    child = subprocess.Popen(["zfs-fuse", "--no-daemon"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        if subprocess.run(["zpool", "list"], capture_output=True, check=False).returncode == 0:
            return child
        time.sleep(0.05)
    raise RuntimeError("zfs-fuse does not answer")


def destroy_pools() -> None:
    """All there are: this zfs-fuse has no others."""
    listed = subprocess.run(["zpool", "list", "-H", "-o", "name"], capture_output=True, text=True, check=False)
    for pool in listed.stdout.split():
        subprocess.run(["zpool", "destroy", "-f", pool], capture_output=True, check=False)


def _above(folder: str) -> str:
    """Options of an overlay that keeps what is written to ``folder`` in memory."""
    for layer in ("upper", "work"):
        Path(f"/run/above/{layer}").mkdir(parents=True)
    return f"lowerdir={folder},upperdir=/run/above/upper,workdir=/run/above/work"


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
