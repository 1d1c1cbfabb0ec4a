"""What a source cannot read costs the copy nothing, and is named; what only moved is no such thing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from secondsite.events import Event, Progress
from secondsite.files.rsync.command import PARTIAL
from secondsite.files.rsync.passes import PASSES
from secondsite.files.rsync.runner import Ended
from secondsite.files.state import SOURCE_UNREADABLE
from tests.integration.file_daemon import Mirror, mirror
from tests.integration.file_systems import HAS_BTRFS, image

MARK = b"these bytes are on the disk of the source once"


class Broken:
    """A source on a file system of its own, whose disk goes bad while nobody looks."""

    def __init__(self, base: Path, kind: str, undo: ExitStack) -> None:
        self.mirror = undo.enter_context(mirror(base, mount=str(base / "source")))
        self._image = Path(image(base, kind, "128M"))
        self._mount()
        undo.callback(self._unmount, "--lazy")

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self._image, self.mirror.source], check=True)

    def _unmount(self, *how: str) -> None:
        subprocess.run(["umount", *how, self.mirror.source], check=True)

    def go_bad(self, mark: bytes) -> None:
        """Wherever these bytes lie, they are others now, and their checksum no longer is theirs."""
        self._unmount()
        whole = self._image.read_bytes()
        assert mark in whole
        self._image.write_bytes(whole.replace(mark, mark[::-1]))
        self._mount()


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _changed(uploads: Mirror) -> None:
    """Since the last pull one file is new, one is another, one is gone."""
    (uploads.source / "new").write_text("new")
    (uploads.source / "other").write_text("now this")
    (uploads.source / "gone").unlink()


async def test_a_folder_that_the_source_cannot_read_stays_as_it_was_and_is_named(
    tmp_path: Path, undo: ExitStack
) -> None:
    disk = Broken(tmp_path, "ext4", undo)
    uploads = disk.mirror
    (uploads.source / "bad").mkdir()
    for name in ("gone", "other", f"bad/{MARK.decode()}", "bad/second"):
        (uploads.source / name).write_text("as it was")
    assert (await uploads.pull()).complete
    complete_at = uploads.tree(uploads.target)
    disk.go_bad(MARK)
    with pytest.raises(OSError, match="Bad message"):
        list((uploads.source / "bad").iterdir())
    _changed(uploads)
    result = await uploads.pull()
    assert not result.complete
    assert result.deleted == 0
    assert uploads.tree(uploads.target) == complete_at | {"new": b"new", "other": b"now this"}
    assert result.reason == f'{SOURCE_UNREADABLE}: rsync: [sender] readdir("/bad" (in uploads)): Bad message (74)'


@pytest.mark.skipif(not HAS_BTRFS, reason="the kernel has no btrfs")
async def test_a_file_that_the_source_cannot_read_stays_as_it_was_and_is_named(tmp_path: Path, undo: ExitStack) -> None:
    disk = Broken(tmp_path, "btrfs", undo)
    uploads = disk.mirror
    for name in ("gone", "other", "bad"):
        (uploads.source / name).write_text("as it was")
    assert (await uploads.pull()).complete
    (uploads.source / "bad").write_bytes(MARK * 1000)
    disk.go_bad(MARK)
    with pytest.raises(OSError, match="Input/output error"):
        (uploads.source / "bad").read_bytes()
    _changed(uploads)
    result = await uploads.pull()
    assert not result.complete
    tree = uploads.tree(uploads.target)
    assert (tree["bad"], tree["new"], tree["other"]) == (b"as it was", b"new", b"now this")
    words = 'rsync: [sender] read errors mapping "/bad" (in uploads): Input/output error (5)'
    assert result.reason == f"{SOURCE_UNREADABLE}: {words}"
    (uploads.source / "bad").unlink()
    assert (await uploads.pull()).complete
    tree = {name: content for name, content in uploads.tree(uploads.target).items() if PARTIAL not in name}
    assert tree == {"new": b"new", "other": b"now this"}


async def test_what_moves_between_being_listed_and_being_read_needs_no_other_pull(tmp_path: Path) -> None:
    """rsync takes it for an error (exit code 23), and not for a file that has vanished."""
    with mirror(tmp_path) as uploads:
        (uploads.source / "large").write_bytes(os.urandom(400_000))
        (uploads.source / "z").mkdir()
        (uploads.source / "z" / "file").write_text("in a folder")
        moved = False

        def move(event: Event) -> None:
            nonlocal moved
            if isinstance(event, Progress) and event.done and not moved:
                (uploads.source / "z").rename(uploads.source / "elsewhere")
                (uploads.source / "z").write_text("a file now")
                moved = True

        result = await uploads.pull(bandwidth=100_000, emit=move)
        assert moved
        assert (result.complete, result.reason) == (True, None)
        assert uploads.tree(uploads.target) == uploads.tree(uploads.source)


async def test_a_source_that_never_stands_still_is_no_copy_that_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then rsync has deleted nothing, and has not said what it would have deleted."""
    passes = 0

    async def moving(*argv: Any, **more: Any) -> Ended:
        nonlocal passes
        passes += 1
        row = "rsync: [sender] get_acl: sys_acl_get_file(folder, ACL_TYPE_ACCESS): No such file or directory (2)"
        return Ended(23, "IO error encountered -- skipping file deletion", row)

    with mirror(tmp_path) as uploads:
        for number in range(10):
            (uploads.source / f"file-{number}").write_text("x")
        assert (await uploads.pull()).complete
        (uploads.source / "file-0").unlink()
        monkeypatch.setattr("secondsite.files.rsync.passes.run", moving)
        result = await uploads.pull()
        assert (result.complete, result.deleted, passes) == (False, 0, PASSES)
        assert "the source changes faster than it can be compared" in (result.reason or "")
        monkeypatch.undo()
        assert (await uploads.pull()).complete
        assert uploads.tree(uploads.target) == uploads.tree(uploads.source)
