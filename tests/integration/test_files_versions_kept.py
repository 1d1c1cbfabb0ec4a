"""Versions of a file set on real file systems: what one holds stays, whatever becomes of the set's folder."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secondsite.errors import FinalError
from secondsite.files.versions import place
from secondsite.files.versions.beside import LINKS, REFLINK, SNAPSHOT, Beside
from secondsite.files.versions.entry import Entry
from secondsite.files.versions.place import Folder
from secondsite.files.versions.version import Version
from tests.integration.disks import disk

NOBODY = 65534
ACL = bytes.fromhex("0200000001000700ffffffff020007002100000004000500ffffffff10000700ffffffff20000500ffffffff")


def silent(_what: str, _done: int, _total: int | None) -> None:
    return


class Set:
    """A set's folder with versions, and a clock that goes an hour with each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keeping = Beside(Folder("uploads", folder))
        self.now = 1_000_000_000.0

    def make(self) -> Version | None:
        self.now += 3600
        return self.keeping.make(made_at=self.now, complete_at=self.now - 2, promotions=0, report=silent)

    def must_make(self) -> Version:
        version = self.make()
        assert version is not None
        return version

    def tree(self, version: Version) -> Path:
        return place.home(Folder("uploads", self.folder)) / version.id / place.TREE

    def entries(self, version: Version) -> dict[str, Entry]:
        with self.keeping.open(version) as opened:
            return {entry.path: entry for entry in opened.entries()}


@pytest.fixture(params=[("ext4", LINKS), ("btrfs", REFLINK), ("btrfs", SNAPSHOT)], ids=lambda one: "-".join(one))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Set]:
    system, kind = request.param
    with disk(tmp_path, system) as where:
        folder = where / "uploads"
        if kind == SNAPSHOT:
            subprocess.run(["btrfs", "-q", "subvolume", "create", str(folder)], check=True, stdout=subprocess.DEVNULL)
        else:
            folder.mkdir()
        fill(folder)
        ready = Set(folder)
        assert ready.must_make().kind == kind
        yield ready


def fill(folder: Path) -> None:
    """One of everything that a set may hold."""
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "deeper" / "photo").write_bytes(b"photo" * 1000)
    os.chown(folder / "deep" / "deeper" / "photo", 33, 34)
    (folder / "deep" / "deeper" / "photo").chmod(0o640)
    os.utime(folder / "deep" / "deeper" / "photo", ns=(1, 1_234_567_890_123_456_789))
    (folder / "one").write_text("linked")
    os.link(folder / "one", folder / "deep" / "other")
    (folder / "way").symlink_to("/etc/passwd")
    os.chown(folder / "way", NOBODY, NOBODY, follow_symlinks=False)
    (folder / "marked").write_text("marked")
    os.setxattr(folder / "marked", "user.colour", b"\x00red\xff")
    os.setxattr(folder / "marked", "system.posix_acl_access", ACL)
    with (folder / "holes").open("wb") as sparse:
        sparse.truncate(4_000_000)
        sparse.seek(2_000_000)
        sparse.write(b"data")
    Path(os.fsdecode(os.fsencode(folder) + b'/bytes-\xff\n"{}')).write_bytes(b"odd")
    (folder / "empty").mkdir(mode=0o2770)
    os.utime(folder / "empty", ns=(5, 5_000_000_007))


def everything(folder: Path) -> dict[str, tuple[object, ...]]:
    """Each attribute and the content of everything in a folder, read by other means than the program's."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        seen = path.lstat()
        content: object = None
        if stat.S_ISREG(seen.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(seen.st_mode):
            content = path.readlink()
        names = sorted(os.listxattr(path, follow_symlinks=False))
        attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
        found[str(path.relative_to(folder))] = (
            seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, attributes, content
        )  # fmt: skip
    return found


def test_a_version_holds_everything_and_the_manifest_says_what(kept: Set) -> None:
    (version,) = kept.keeping.list()
    assert everything(kept.tree(version)) == everything(kept.folder)
    entries = kept.entries(version)
    photo = entries["deep/deeper/photo"]
    assert (photo.mode, photo.uid, photo.gid, photo.size, photo.mtime_ns) == (
        0o640,
        33,
        34,
        5000,
        1_234_567_890_123_456_789,
    )
    assert dict(entries["marked"].xattrs) == {"user.colour": b"\x00red\xff", "system.posix_acl_access": ACL}
    assert (entries["one"].group, entries["way"].target) == ("deep/other", "/etc/passwd")
    assert 'bytes-\udcff\n"{}' in entries
    assert (version.entries, version.entries) == (len(entries), len(everything(kept.folder)))
    assert (kept.tree(version) / "holes").stat().st_blocks * 512 < 1_000_000, "a hole stays one"


def test_only_root_comes_to_where_versions_lie_and_the_set_does_not_hold_them(kept: Set) -> None:
    home = place.home(Folder("uploads", kept.folder))
    assert not home.is_relative_to(kept.folder)
    for folder in (home, home.parent):
        assert (folder.stat().st_mode & 0o7777, folder.stat().st_uid) == (0o700, 0)


def test_what_becomes_of_the_set_does_not_reach_the_version(kept: Set) -> None:
    """As a pull does it: new content comes by a rename, attributes are set on the file itself."""
    (version,) = kept.keeping.list()
    before, entries = everything(kept.tree(version)), kept.entries(version)
    new = kept.folder / ".marked.new"
    new.write_text("encrypted")
    new.rename(kept.folder / "marked")
    shutil.rmtree(kept.folder / "deep")
    (kept.folder / "way").unlink()
    after = everything(kept.tree(version))
    assert after == before
    (kept.folder / "holes").chmod(0o777)
    os.utime(kept.folder / "holes", ns=(9, 9))
    assert kept.entries(version) == entries, "of a link only the manifest knows what it was"


def test_no_version_is_made_where_nothing_has_changed_and_one_is_for_each_kind_of_change(kept: Set) -> None:
    assert kept.make() is None
    changes: tuple[Callable[[], object], ...] = (
        lambda: (kept.folder / "marked").chmod(0o600),
        lambda: os.chown(kept.folder / "marked", 7, 7),
        lambda: os.utime(kept.folder / "marked", ns=(1, 2)),
        lambda: os.setxattr(kept.folder / "marked", "user.colour", b"blue"),
        lambda: (kept.folder / "new").write_text(""),
        lambda: (kept.folder / "new").rename(kept.folder / "newer"),
        lambda: (kept.folder / "deep" / "other").unlink(),
        lambda: os.utime(kept.folder / "empty", ns=(1, 1)),
    )
    for number, change in enumerate(changes, 2):
        change()
        assert kept.must_make().number == number
        assert kept.make() is None


def test_a_removed_version_is_gone_with_its_room_and_the_others_and_the_set_stay(kept: Set) -> None:
    first = kept.keeping.list()[0]
    (kept.folder / "new").write_text("new")
    second = kept.must_make()
    before = everything(kept.folder), everything(kept.tree(second))
    assert kept.keeping.remove(first, silent)
    assert [one.id for one in kept.keeping.list()] == [second.id]
    assert sorted(path.name for path in place.home(Folder("uploads", kept.folder)).iterdir()) == [second.id]
    assert (everything(kept.folder), everything(kept.tree(second))) == before


def test_a_version_that_somebody_reads_is_not_removed(kept: Set) -> None:
    (version,) = kept.keeping.list()
    with kept.keeping.open(version) as opened:
        assert not kept.keeping.remove(version, silent)
        assert next(iter(opened.entries())).path == ""
    assert kept.keeping.remove(version, silent)
    with pytest.raises(FinalError, match="just been removed"), kept.keeping.open(version):
        pass


def test_what_a_process_that_died_has_left_is_removed_and_nothing_else(kept: Set) -> None:
    (version,) = kept.keeping.list()
    home = place.home(Folder("uploads", kept.folder))
    half = home / f"{place.MAKING}20260101T000000Z-0123abcd"
    removing = home / f"{place.REMOVING}20260101T000000Z-0123abce"
    for folder in (half, removing):
        (folder / place.TREE / "deep").mkdir(parents=True, mode=0o700)
        (folder / place.TREE / "way-out").symlink_to(kept.folder)
        (folder / place.TREE / "deep" / "one").write_text("half")
    foreign = home / "somebody-elses"
    foreign.mkdir()
    unmarked = home / "20260101T000000Z-0123abcf"
    unmarked.mkdir()
    moved = home / "20260101T000000Z-0123abd0"
    moved.mkdir()
    shutil.copy(home / version.id / "version.json", moved)
    before = everything(kept.folder)
    assert [one.id for one in kept.keeping.list()] == [version.id], "a marker that was copied makes no version"
    assert kept.keeping.sweep(silent) == 2
    assert sorted(path.name for path in home.iterdir()) == sorted([version.id, foreign.name, unmarked.name, moved.name])
    assert everything(kept.folder) == before


def test_a_folder_that_others_may_write_is_not_trusted(kept: Set) -> None:
    home = place.home(Folder("uploads", kept.folder))
    home.chmod(0o770)
    with pytest.raises(FinalError) as refused:
        kept.make()
    assert refused.value.slug == "versions-not-ours"
    home.chmod(0o700)
    shutil.move(home, kept.folder.parent / "elsewhere")
    home.symlink_to(kept.folder)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        kept.make()


def test_without_room_no_version_is_made_and_the_message_says_how_little_is_left(tmp_path: Path) -> None:
    """On ext4, whose word on what is left is exact."""
    with disk(tmp_path, "ext4") as where:
        kept, filler = Set(where / "uploads"), where / "filler"
        kept.folder.mkdir()
        kept.must_make()
        (kept.folder / "new").write_text("new")
        with filler.open("wb") as file:
            while (left := os.statvfs(where)).f_bavail > 0.04 * left.f_blocks:
                file.write(os.urandom(1_000_000))
                os.fsync(file.fileno())
        with pytest.raises(FinalError) as refused:
            kept.make()
        assert refused.value.slug == "versions-no-room" and "of the room" in refused.value.message
        assert len(kept.keeping.list()) == 1
        filler.unlink()
        assert kept.make() is not None


def test_a_set_that_is_a_mount_point_of_its_own_is_refused(tmp_path: Path) -> None:
    with disk(tmp_path, "tmpfs") as where, pytest.raises(FinalError) as refused:
        Set(where).make()
    assert refused.value.slug == "versions-no-place" and f"{where}/data" in str(refused.value.hint)


def test_versions_of_links_cost_no_content(tmp_path: Path) -> None:
    with disk(tmp_path, "ext4") as where:
        folder = where / "uploads"
        folder.mkdir()
        (folder / "large").write_bytes(os.urandom(8_000_000))
        kept = Set(folder)
        before = os.statvfs(where).f_bavail * os.statvfs(where).f_frsize
        for number in range(10):
            (folder / "small").unlink(missing_ok=True)
            (folder / "small").write_text(str(number))
            kept.must_make()
        assert before - os.statvfs(where).f_bavail * os.statvfs(where).f_frsize < 1_000_000


def test_very_deep_folders_are_kept_and_removed(tmp_path: Path) -> None:
    """Deeper than Python recurses; a hostile source can make such."""
    with disk(tmp_path, "ext4") as where:
        folder = where / "uploads"
        folder.mkdir()
        handle = os.open(folder, os.O_RDONLY)
        for _ in range(1200):
            os.mkdir("d", dir_fd=handle)
            inner = os.open("d", os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = inner
        os.close(handle)
        kept = Set(folder)
        version = kept.must_make()
        assert version.entries == 1201
        assert kept.keeping.remove(version, silent)
        assert kept.keeping.list() == ()


def test_a_nested_subvolume_is_not_left_out(tmp_path: Path) -> None:
    with disk(tmp_path, "btrfs") as where:
        folder = where / "uploads"
        for path in (folder, folder / "inner"):
            subprocess.run(["btrfs", "-q", "subvolume", "create", str(path)], check=True, stdout=subprocess.DEVNULL)
        (folder / "inner" / "file").write_text("content")
        kept = Set(folder)
        version = kept.must_make()
        assert version.kind == REFLINK
        assert (kept.tree(version) / "inner" / "file").read_text() == "content"
