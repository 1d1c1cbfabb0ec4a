"""Real file systems of every kind that a set may lie on, in files of a temporary folder, and gone at the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from secondsite_lab.storage.pool import kernel_has

HAS_BTRFS = kernel_has("btrfs")
KINDS = ("ext4", "tmpfs", "overlay", *(["btrfs"] if HAS_BTRFS else []))  # btrfs: a subvolume, not its top
BY_FOLDER = "btrfs" if HAS_BTRFS else "overlay"  # one that cannot be watched as a whole


@contextmanager
def file_system(base: Path, kind: str, *, size: str = "256M") -> Iterator[Path]:
    """An empty folder on a file system of ``kind``."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("the tests do not run as root")
        pytest.skip("needs root")
    with ExitStack() as undo:
        if kind == "tmpfs":
            yield mounted(undo, base / "tmpfs", "-t", "tmpfs", "-o", f"size={size}", "tmpfs")
        elif kind == "overlay":
            layers = mounted(undo, base / "layers", "-o", "loop", image(base, "ext4", size))
            for name in ("lower", "upper", "work"):
                (layers / name).mkdir()
            options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
            yield mounted(undo, base / "overlay", "-t", "overlay", "-o", options, "overlay")
        elif kind == "btrfs":
            top = mounted(undo, base / "btrfs", "-o", "loop", image(base, "btrfs", size))
            _run("btrfs", "-q", "subvolume", "create", str(top / "subvolume"))
            yield top / "subvolume"
        else:
            yield mounted(undo, base / kind, "-o", "loop", image(base, kind, size))


def image(base: Path, kind: str, size: str) -> str:
    """A file with a new file system in it."""
    file = base / f"{kind}.image"
    with file.open("wb") as empty:
        empty.truncate(_bytes(size))
    _run(f"mkfs.{kind}", "-q", str(file))
    return str(file)


def mounted(undo: ExitStack, point: Path, *how: str) -> Path:
    """Mounted until ``undo`` ends. A test may have unmounted it by then."""
    point.mkdir()
    _run("mount", *how, str(point))
    undo.callback(_unmount, point)
    return point


def _unmount(point: Path) -> None:
    while os.path.ismount(point):
        _run("umount", "--lazy", str(point))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def _bytes(size: str) -> int:
    return int(size[:-1]) * {"M": 1 << 20, "G": 1 << 30}[size[-1]]
