"""The bundle: what is in it, that its name is its contents, and that its archive does not change by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from secondsite.events import Event, Note, ignore
from secondsite.process import Completed
from secondsite.remote import archive, closure
from secondsite.remote.bundle import Bundle, Part, Python, launcher
from secondsite.remote.host import Host
from secondsite.remote.place import unpack_script
from secondsite.remote.survey import Survey
from secondsite.remote.upload import Installed, borrow, install
from secondsite.spec import paths
from tests.fakes.host import HereAsHost


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("rich>=14", ("rich", frozenset(), None)),
        ("psycopg[binary]>=3.2", ("psycopg", frozenset({"binary"}), None)),
        ('psycopg-binary==3.3.9; implementation_name != "pypy" and extra == "binary"', ("psycopg-binary", frozenset(),
                                                                                        "binary")),
        ("typing_extensions (>=4.6)", ("typing-extensions", frozenset(), None)),
        ('Foo.Bar ; python_version < "3.9"', ("foo-bar", frozenset(), None)),
    ],
)  # fmt: skip
def test_requirements(text: str, parsed: tuple[str, frozenset[str], str | None]) -> None:
    assert closure.parse_requirement(text) == parsed


def test_what_runs_is_in_and_what_develops_is_not() -> None:
    names = set(closure.closure())
    assert {"asyncssh", "pydantic-core", "psycopg-binary", "cryptography", "cffi"} <= names
    assert not names & {"pip", "mypy", "ruff", "pytest", "hypothesis", "secondsite"}


def files(root: Path, content: str = "x = 1\n") -> list[tuple[str, Path]]:
    (root / "a.py").write_text(content)
    (root / "b.txt").write_text("b")
    return [("pkg/a.py", root / "a.py"), ("bin/b", root / "b.txt")]


def test_the_identity_is_the_contents(tmp_path: Path) -> None:
    first = archive.identity(files(tmp_path), "3.11")
    assert first == archive.identity(files(tmp_path), "3.11")
    assert first != archive.identity(files(tmp_path), "3.12")
    assert first != archive.identity(files(tmp_path, "x = 2\n"), "3.11")


def test_two_archives_of_the_same_are_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        target = tmp_path / name / "x.tar.gz"
        archive.build(files(tmp_path), target, home="/opt/secondsite/x", executable=("bin/b",))
        made.append(target.read_bytes())
        assert [path.name for path in target.parent.iterdir()] == ["x.tar.gz"]
    assert made[0] == made[1]


def test_an_archive_belongs_to_root_and_is_compiled(tmp_path: Path) -> None:
    target = tmp_path / "out" / "x.tar.gz"
    archive.build(files(tmp_path), target, home="/opt/secondsite/x", executable=("bin/b",))
    with tarfile.open(target) as tar:
        entries = {entry.name: entry for entry in tar}
        modes = {name: entry.mode for name, entry in entries.items()}
        compiled = next(name for name in entries if name.endswith(".pyc"))
        content = tar.extractfile(compiled)
        assert content is not None
        flags = int.from_bytes(content.read(8)[4:8], "little")
    assert modes["bin/b"] == 0o755 and modes["pkg/a.py"] == 0o644
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
    assert flags == 0b01  # PEP 552: hash-based, unchecked


def installed(root: Path, archive_path: Path) -> subprocess.CompletedProcess[bytes]:
    part = Part("releases", "1-abc", archive_path, True)
    script = unpack_script(str(root), part, sys.executable)
    return subprocess.run(["sh", "-c", script], input=archive_path.read_bytes(), capture_output=True, check=False)


def test_unpacking_is_all_or_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    target = tmp_path / "x.tar.gz"
    archive.build(files(tmp_path), target, home="/x")
    root = tmp_path / "opt"
    for _ in range(2):
        assert installed(root, target).returncode == 0
        assert [path.name for path in (root / "releases").iterdir()] == ["1-abc"]
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(target.read_bytes()[:-40])
    assert installed(tmp_path / "other", torn).returncode != 0
    assert list((tmp_path / "other" / "releases").iterdir()) == []


def test_the_launcher_uses_one_release_and_nothing_of_the_host(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "r"
    (release / "bin").mkdir(parents=True)
    (release / "secondsite" / "cli").mkdir(parents=True)
    (tmp_path / "libraries" / "l").mkdir(parents=True)
    (release / "secondsite" / "cli" / "start.py").write_text(
        "import sys\ndef main():\n    print(sys.path[:2]); print(sys.flags.isolated, sys.flags.no_site)\n"
    )
    program = release / "bin" / "secondsite"
    program.write_text(launcher(sys.executable, "l"))
    program.chmod(0o755)
    (tmp_path / "link").symlink_to(program)
    told = subprocess.run([tmp_path / "link"], capture_output=True, text=True, check=True).stdout
    assert told == f"{[str(release), str(tmp_path / 'libraries' / 'l')]}\n1 1\n"


class Counting(HereAsHost):
    """sent: how many archives went over the line."""

    def __init__(self) -> None:
        self.sent = 0

    async def run(self, script: str, **how: Any) -> Completed:
        self.sent += how.get("stdin") is not None
        return await super().run(script, **how)


async def test_what_a_plan_has_brought_is_found_by_the_next_one_and_installed_by_an_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, program = tmp_path / "cache", tmp_path / "program"
    monkeypatch.setattr(paths, "CACHE", cache)
    monkeypatch.setattr(paths, "PROGRAM", program)
    packed = tmp_path / "x.tar.gz"
    archive.build(files(tmp_path), packed, home="/x")
    made = Bundle(
        Python("3.11", "x86_64", sys.executable),
        Part("libraries", "l", packed, True),
        Part("releases", "r", packed, True),
    )
    bare = Survey("x86_64", True, True, "debian", "Debian", (("3.11", sys.executable),), (), (), None)
    host, said = Counting(), list[Event]()
    there = replace(bare, releases=("r",), libraries=("l",))
    assert (await borrow(cast(Host, host), there, made, said.append)).root == str(program)
    assert said == [] and host.sent == 0

    first = await borrow(cast(Host, host), bare, made, said.append)
    assert (Path(first.root) / "releases" / "r").is_dir() and host.sent == 2
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (note,) = said
    assert isinstance(note, Note) and str(cache) in note.text

    cached = replace(bare, cached=("releases/r", "libraries/l"))
    assert await borrow(cast(Host, host), cached, made, said.append) == first
    assert host.sent == 2 and said == [note], "an equal plan sends nothing and says nothing"

    installed = await install(cast(Host, host), cached, made, said.append)
    assert installed.root == str(program) and host.sent == 2
    assert (program / "releases" / "r" / "pkg" / "a.py").is_file() and (program / "libraries" / "l").is_dir()
    assert (cache / "releases" / "r" / "pkg" / "a.py").is_file(), "another person's plan may still run from it"

    shutil.rmtree(program)
    shutil.rmtree(cache)
    await install(cast(Host, host), cached, made, said.append)
    assert host.sent == 4 and (program / "releases" / "r").is_dir(), "a cache that is gone meanwhile costs an upload"


async def test_a_new_release_alone_is_sent_and_uses_the_installed_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, program = tmp_path / "cache", tmp_path / "program"
    monkeypatch.setattr(paths, "CACHE", cache)
    monkeypatch.setattr(paths, "PROGRAM", program)
    (program / "libraries" / "l").mkdir(parents=True)
    packed = tmp_path / "x.tar.gz"
    archive.build(files(tmp_path), packed, home="/x")
    made = Bundle(
        Python("3.11", "x86_64", sys.executable),
        Part("libraries", "l", packed, True),
        Part("releases", "r2", packed, True),
    )
    there = Survey("x86_64", True, True, "debian", "Debian", (("3.11", sys.executable),), ("r",), ("l",), None)
    host = Counting()
    old = cache / "releases" / "forgotten"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    lent = await borrow(cast(Host, host), there, made, lambda _: None)
    assert host.sent == 1 and (cache / "libraries" / "l").resolve() == program / "libraries" / "l"
    assert lent.session_command("--read-only") == f"exec {cache}/releases/r2/bin/secondsite session --read-only"
    assert not old.exists(), "what no plan has used for long is not kept"


@dataclass
class Place:
    """A host's two folders, and a bundle for it whose parts are ``releases/r`` and ``libraries/l``."""

    cache: Path
    program: Path
    made: Bundle
    bare: Survey
    cached: Survey


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(paths, "PROGRAM", tmp_path / "program")
    packed = tmp_path / "x.tar.gz"
    archive.build(files(tmp_path), packed, home="/x")
    parts = Part("libraries", "l", packed, True), Part("releases", "r", packed, True)
    bare = Survey("x86_64", True, True, "debian", "Debian", (("3.11", sys.executable),), (), (), None)
    cached = replace(bare, cached=("releases/r", "libraries/l"))
    made = Bundle(Python("3.11", "x86_64", sys.executable), *parts)
    return Place(tmp_path / "cache", tmp_path / "program", made, bare, cached)


def deleted(part: Path) -> None:
    (part / "pkg" / "a.py").unlink()


def emptied(part: Path) -> None:
    (part / "pkg" / "a.py").write_text("")


@pytest.mark.parametrize("damage", [deleted, emptied])
@pytest.mark.parametrize("act", [borrow, install])
async def test_a_cache_that_somebody_has_cleaned_up_is_not_run_or_installed_but_sent_anew(
    act: Callable[..., Awaitable[Installed]], damage: Callable[[Path], None], place: Place
) -> None:
    host = Counting()
    await borrow(cast(Host, host), place.bare, place.made, ignore)
    damage(place.cache / "releases" / "r")
    there = await act(cast(Host, host), place.cached, place.made, ignore)
    assert host.sent == 3, "the damaged part, and not the other one"
    assert (Path(there.root) / "releases" / "r" / "pkg" / "a.py").read_text() == "x = 1\n"
    assert (Path(there.root) / "libraries" / "l" / "pkg" / "a.py").is_file()
    in_cache = place.cache / "releases" / "r"
    assert not in_cache.exists() or (in_cache / "pkg" / "a.py").read_text() == "x = 1\n", "no damage is left"


async def test_an_upload_leaves_another_ones_partial_folder_alone_until_it_is_old(place: Place) -> None:
    young, old = (place.cache / "releases" / f"r.{name}.partial" for name in ("young", "old"))
    for folder in (young, old):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    await borrow(cast(Host, HereAsHost()), place.bare, place.made, ignore)
    assert sorted(path.name for path in young.parent.iterdir()) == ["r", young.name]


async def test_plans_that_send_the_same_at_once_all_succeed(place: Place) -> None:
    hosts = [Counting() for _ in range(4)]
    lent = await asyncio.gather(*(borrow(cast(Host, host), place.bare, place.made, ignore) for host in hosts))
    assert {one.root for one in lent} == {str(place.cache)}
    assert [path.name for path in (place.cache / "releases").iterdir()] == ["r"]
    assert (place.cache / "releases" / "r" / "pkg" / "a.py").is_file()


async def test_a_link_whose_libraries_are_gone_is_replaced_by_what_is_sent(place: Place) -> None:
    (place.cache / "libraries").mkdir(parents=True)
    (place.cache / "libraries" / "l").symlink_to(place.program / "libraries" / "l")
    host = Counting()
    await borrow(cast(Host, host), place.bare, place.made, ignore)
    libraries = place.cache / "libraries" / "l"
    assert host.sent == 2 and not libraries.is_symlink() and (libraries / "pkg" / "a.py").is_file()


def test_a_host_like_this_machine_takes_what_is_installed_here() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    import platform

    assert Python(version, platform.machine(), "/usr/bin/python3").like_ours
    assert not Python("3.99", platform.machine(), "/usr/bin/python3").like_ours
