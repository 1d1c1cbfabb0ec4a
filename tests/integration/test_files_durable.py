"""What is acknowledged is on the disk, on whichever of the set's file systems it lies."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from secondsite.files.durable import sync_file_systems
from tests.integration.file_daemon import mirror
from tests.integration.file_systems import file_system, image, mounted


def on_disk(disk: Path, content: bytes) -> bool:
    """Whether the file that the file system lies in has it: until that is written, only the kernel's cache does."""
    return content in disk.read_bytes()


async def test_a_file_system_inside_the_folder_is_written_to_its_disk_too(tmp_path: Path) -> None:
    outer, inner = os.urandom(64), os.urandom(64)
    with file_system(tmp_path, "ext4", size="32M") as folder, ExitStack() as undo:
        (tmp_path / "below").mkdir()
        disk = Path(image(tmp_path / "below", "ext4", "32M"))
        inside = mounted(undo, folder / "inside", "-o", "loop", str(disk))
        mounted(undo, inside / "none", "-t", "tmpfs", "tmpfs")
        (folder / "file").write_bytes(outer)
        (inside / "file").write_bytes(inner)
        assert not on_disk(disk, inner)
        await sync_file_systems(folder, ["/inside/"])
        assert not on_disk(disk, inner)
        await sync_file_systems(folder)
        assert on_disk(tmp_path / "ext4.image", outer)
        assert on_disk(disk, inner)


async def test_a_pull_is_complete_when_what_it_brought_into_a_file_system_inside_is_on_its_disk(tmp_path: Path) -> None:
    content = os.urandom(64)
    with mirror(tmp_path) as uploads, ExitStack() as undo:
        (tmp_path / "below").mkdir()
        disk = Path(image(tmp_path / "below", "ext4", "32M"))
        uploads.target.mkdir(parents=True)
        mounted(undo, uploads.target / "inside", "-o", "loop", str(disk))
        (uploads.target / "inside" / "lost+found").rmdir()
        (uploads.source / "inside").mkdir()
        (uploads.source / "inside" / "file").write_bytes(content)
        result = await uploads.pull()
        assert (result.complete, result.reason) == (True, None)
        assert on_disk(disk, content)
