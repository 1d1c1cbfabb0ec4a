"""Real file systems for tests: a file as a disk, made and mounted, unmounted behind the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIZES = {"ext4": "96M", "btrfs": "256M"}


@contextmanager
def disk(base: Path, kind: str) -> Iterator[Path]:
    """The mount point of a new file system of ``kind``: ext4, btrfs, or tmpfs."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("the tests do not run as root")
        pytest.skip("needs root")
    where = base / f"disk-{kind}"
    where.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", str(where)], check=True)
    else:
        image = base / f"{kind}.img"
        subprocess.run(["truncate", "--size", SIZES[kind], str(image)], check=True)
        quiet = {"ext4": ["mkfs.ext4", "-q", "-I", "1024"], "btrfs": ["mkfs.btrfs", "-q"]}[kind]
        subprocess.run([*quiet, str(image)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "loop", str(image), str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)
