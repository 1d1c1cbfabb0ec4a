"""Small parts of the watcher: where a set is, what it reads at its start, its unit, the words it has for a person."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from secondsite.errors import FinalError
from secondsite.files.stream.entry import TEMPORARY
from secondsite.files.watch import config
from secondsite.files.watch.by_folder import open_folder
from secondsite.files.watch.config import WatchConfig
from secondsite.files.watch.journal import DirtyJournal
from secondsite.files.watch.place import inside, mounts_below, place_of
from secondsite.files.watch.unit import unit
from secondsite.files.watch.watched import Watched, WatchedSet

TABLE = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:5 / /srv rw - tmpfs tmpfs rw
32 31 0:6 / /srv/up\040loads/in\134ner rw - tmpfs tmpfs rw
33 31 0:7 / /srv/up\040loads rw - tmpfs tmpfs rw
34 31 0:8 / /srv/up\040loads-of-others rw - tmpfs tmpfs rw
35 33 0:9 / /srv/up\040loads/a rw - tmpfs tmpfs rw
36 35 0:9 / /srv/up\040loads/a rw - tmpfs tmpfs rw""".splitlines()


def test_mount_points_in_the_set_belong_to_it_whatever_their_names() -> None:
    assert mounts_below(b"/srv/up loads", TABLE) == (b"/srv/up loads/a", b"/srv/up loads/in\\ner")
    assert mounts_below(b"/srv/up", TABLE) == ()
    assert len(mounts_below(b"/", TABLE)) == 5


@pytest.mark.parametrize(
    ("path", "folder", "found"),
    [
        (b"/srv/a", b"/srv", b"a"), (b"/srv", b"/srv", b""), (b"/srvx", b"/srv", None), (b"/", b"/srv", None),
        (b"/srv/a/b", b"/", b"srv/a/b"), (b"/", b"/", b""), (b"/srv-a/b", b"/srv", None),
    ],
)  # fmt: skip
def test_inside(path: bytes, folder: bytes, found: bytes | None) -> None:
    assert inside(path, folder) == found


def test_the_place_is_another_one_once_the_folder_is(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "link")
    with pytest.raises(FileNotFoundError, match="no folder"):
        place_of(folder, None)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("one")
    first = place_of(folder, None)
    assert first == place_of(folder, None)
    assert first.path == os.fsencode(tmp_path / "one")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("two")
    assert place_of(folder, None) != first
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("one")
    assert place_of(folder, None) == first
    for _ in range(3):  # a new folder likes to get the inode of the one that is gone
        (tmp_path / "one").rmdir()
        (tmp_path / "one").mkdir()
        assert place_of(folder, None) != first
    with pytest.raises(FileNotFoundError, match="not mounted"):
        place_of(folder, b"/somewhere/else")


def test_what_the_watcher_reads_is_what_apply_writes(tmp_path: Path) -> None:
    file = tmp_path / "watch.json"
    sets = [("uploads", "/srv/uploads"), ("odd", "/srv/grüße\udcff")]
    file.write_text(config.text("10.10.0.1", 7435, sets, {"uploads": "/srv", "odd": "/"}))
    assert config.load(file) == WatchConfig(
        "10.10.0.1",
        7435,
        (WatchedSet("uploads", b"/srv/uploads", b"/srv"), WatchedSet("odd", os.fsencode(sets[1][1]), b"/")),
    )
    file.write_text(config.text("10.10.0.1", 7435, sets[:1], {"uploads": "/srv"}, {"uploads": ("/srv/uploads/a b",)}))
    assert config.load(file).sets == (WatchedSet("uploads", b"/srv/uploads", b"/srv", (b"/srv/uploads/a b",)),)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"address": "x", "port": "y", "sets": []}', "\0"])
def test_a_file_that_is_none_is_told(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "watch.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(FinalError) as refused:
        config.load(file)
    assert (refused.value.slug, refused.value.hint) == ("watch-config", "secondsite apply")


def test_the_unit_has_two_rights_and_another_program_makes_another_unit() -> None:
    text = unit("wg0", "one")
    assert "\nCapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_READ_SEARCH\n" in text
    assert "After=local-fs.target network.target wg-quick@wg0.service" in text
    assert text != unit("wg0", "two")
    written = [line for line in text.splitlines() if line.startswith(("ReadWritePaths", "User=", "AmbientCap"))]
    assert written == []


def test_paths_of_an_unfinished_transfer_are_never_dirty() -> None:
    noted: list[bytes] = []

    class Noting:
        def add(self, path: bytes, at: float, *, tree: bool = False) -> None:
            noted.append(path)

    watched = Watched(WatchedSet("uploads", b"/srv"), Noting())  # type: ignore[arg-type]
    watched.dirty(b"", b".secondsite-partial", 1.0)
    watched.dirty(b"a", b".secondsite-partial", 1.0)
    watched.dirty(b"a", b".", 1.0)
    watched.dirty(b"", b".", 1.0)
    watched.dirty(b"", b"file", 1.0)
    assert noted == [b"a", b"", b"file"]
    assert [watched.is_ours(each) for each in (b"a/.secondsite-partial/b", b".secondsite-partial", b"a")] == [
        True,
        True,
        False,
    ]


def test_what_is_written_is_small_and_json() -> None:
    told = json.loads(config.text("10.10.0.1", 7435, [("a", "/a")], {"a": "/"}))
    assert told == {"address": "10.10.0.1", "port": 7435, "sets": [{"name": "a", "path": "/a", "mount": "/"}]}


def test_what_a_batch_makes_under_another_name_first_is_no_change_of_the_set(tmp_path: Path) -> None:
    journal = DirtyJournal(tmp_path / "journal")
    watched = Watched(WatchedSet("up", b"/srv/up"), journal)
    watched.dirty(b"folder", TEMPORARY + b"1234-1", 1.0)
    assert journal.pending == 0
    watched.dirty(b"folder", b"file", 1.0)
    assert [one.path for one in journal.peek()] == [b"folder/file"]
    journal.close()


@pytest.mark.parametrize("above", [b"", b"a" * 200, b"/".join([b"b" * 200] * 30)])
def test_a_folder_is_opened_by_its_path_however_long_and_through_no_link(tmp_path: Path, above: bytes) -> None:
    here = root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for name in (*above.split(b"/"), b"own") if above else (b"own",):
        os.mkdir(name, dir_fd=here)
        here = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
    (tmp_path / "link").symlink_to("own")
    path = above + b"/own" if above else b"own"
    opened = open_folder(root, path)
    assert os.path.samestat(os.fstat(opened), os.fstat(here))
    for wrong in (b"link", path + b"/none"):
        with pytest.raises(OSError):
            open_folder(root, wrong)
