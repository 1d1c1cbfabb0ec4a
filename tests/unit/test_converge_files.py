"""Files of ours: written whole, recorded, and never over somebody else's."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from secondsite.converge import files, manifest, write
from secondsite.converge.diff import MASK, masked, unified
from secondsite.converge.files import Absent, Directory, TextFile
from secondsite.events import Event, Note, ignore

ME = getpass.getuser()


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "state" / "manifest.json")
    original = write.aside
    monkeypatch.setattr(files, "aside", lambda path: original(path, store=tmp_path / "aside"))


def ours(path: Path, content: str, mode: int = 0o644) -> TextFile:
    return TextFile(path, content, mode=mode, owner=ME)


async def test_a_file_is_created_once(tmp_path: Path) -> None:
    file = ours(tmp_path / "etc" / "conf", "a = 1\n", 0o600)
    change = await file.plan()
    assert change is not None and change.summary == "create" and "+a = 1" in change.diff
    await file.apply(change, ignore)
    assert await file.plan() is None
    assert (tmp_path / "etc" / "conf").stat().st_mode & 0o777 == 0o600


async def test_a_wrong_mode_is_a_change_without_a_diff(tmp_path: Path) -> None:
    file = ours(tmp_path / "conf", "a\n", 0o600)
    await file.apply(change, ignore) if (change := await file.plan()) else None
    (tmp_path / "conf").chmod(0o644)
    change = await file.plan()
    assert change is not None and change.summary == "mode 0644 -> 0600" and not change.diff
    await file.apply(change, ignore)
    assert await file.plan() is None


async def test_somebody_elses_file_is_moved_aside_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("theirs\n")
    file, said = ours(path, "ours\n"), list[Event]()
    change = await file.plan()
    assert change is not None and "not ours" in change.summary
    await file.apply(change, said.append)
    assert path.read_text() == "ours\n"
    assert [kept.read_text() for kept in (tmp_path / "aside").iterdir()] == ["theirs\n"]
    assert isinstance(said[0], Note) and said[0].level == "warning"


async def test_our_own_older_file_is_replaced_without_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    for content in ("one\n", "two\n"):
        change = await ours(path, content).plan()
        assert change is not None
        await ours(path, content).apply(change, ignore)
    assert path.read_text() == "two\n"
    assert not (tmp_path / "aside").exists()


async def test_what_is_not_ours_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("theirs\n")
    assert await Absent(path).plan() is None
    manifest.record(path, b"theirs\n")
    change = await Absent(path).plan()
    assert change is not None
    await Absent(path).apply(change, ignore)
    assert not path.exists() and manifest.recorded(path) is None


async def test_a_folder_that_is_there_may_keep_its_mode(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    assert await Directory(tmp_path / "etc", owner=ME, keep=True).plan() is None
    change = await Directory(tmp_path / "etc", mode=0o755, owner=ME).plan()
    assert change is not None and change.summary == "mode 0700 -> 0755"


async def test_a_secret_file_shows_nothing(tmp_path: Path) -> None:
    change = await TextFile(tmp_path / "token", "hunter2\n", owner=ME, secret=True).plan()
    assert change is not None and "hunter2" not in change.diff


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("PrivateKey = abc=", "abc="),
        ("password: 'x y'", "x y"),
        ("primary_conninfo = 'host=a password=geheim user=b'", "geheim"),
        ("# token=t0k3n", "t0k3n"),
    ],
)
def test_values_that_look_like_secrets_are_masked(text: str, hidden: str) -> None:
    assert hidden not in masked(text) and MASK in masked(text)


def test_named_secrets_are_masked_in_a_diff() -> None:
    assert "s3cret" not in unified("", "SCRAM s3cret\n", "/etc/x", secrets=["s3cret"])


def test_a_torn_manifest_forgets_and_does_not_fail(tmp_path: Path) -> None:
    manifest.MANIFEST.parent.mkdir(parents=True)
    manifest.MANIFEST.write_text('{"torn')
    assert manifest.recorded(tmp_path) is None


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "conf"
    path.write_text("old")

    def torn(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", torn)
    with pytest.raises(KeyboardInterrupt):
        write.atomically(path, b"new", owner=ME)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["conf"]
