"""This version of secondsite with all it needs, packed for a host's Python, so that hosts need no internet.

Two parts, because the libraries rarely change: ``libraries/<id>`` (tens of megabytes) and ``releases/<id>``
(our own code). An id is a hash of the contents.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import secondsite
from secondsite.remote.archive import build, identity
from secondsite.remote.closure import SELF, closure, files_of, tree
from secondsite.remote.foreign import foreign_libraries
from secondsite.spec import paths

LAUNCHER = "bin/secondsite"


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter the bundle is for: version like "3.11", machine like "x86_64", its path on the host."""

    version: str
    arch: str
    path: str

    @property
    def like_ours(self) -> bool:
        """Whether what is installed here runs there."""
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (self.version, self.arch) == (ours, platform.machine()) and sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Part:
    """One archive and the folder it becomes: ``releases`` or ``libraries``. compiled: byte code is in it."""

    folder: str
    id: str
    archive: Path
    compiled: bool

    @property
    def place(self) -> str:
        return f"{self.folder}/{self.id}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Both parts, for one interpreter."""

    python: Python
    libraries: Part
    release: Part


def cache() -> Path:
    """Where bundles are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "secondsite"


def launcher(python: str, libraries: str) -> str:
    """The program that starts secondsite: isolated (-I), without the host's own packages (-S), from one release."""
    return (
        f"#!{python} -IS\n"
        "import os, sys\n"
        "release = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))\n"
        f"libraries = os.path.join(release, '..', '..', 'libraries', '{libraries}')\n"
        "sys.path[:0] = [release, os.path.realpath(libraries)]\n"
        "sys.argv[0] = 'secondsite'\n"
        "from secondsite.cli.start import main\n"
        "sys.exit(main())\n"
    )


async def bundle_for(python: Python) -> Bundle:
    """The bundle for ``python``, from the cache where it is there. Raises FinalError (``bundle-unavailable``)."""
    return await asyncio.to_thread(_bundle_for, python)


def _bundle_for(python: Python) -> Bundle:
    libraries = _libraries(python)
    return Bundle(python, libraries, _release(python, libraries))


def _libraries(python: Python) -> Part:
    if python.like_ours:
        files = [pair for installed in closure().values() for pair in files_of(installed)]
    else:
        files = list(tree(foreign_libraries(python.version, python.arch, cache()), ""))
    files.sort()
    return _part("libraries", files, python)


def _release(python: Python, libraries: Part) -> Part:
    files = list(tree(Path(secondsite.__file__).parent, f"{SELF}/"))
    script = cache() / "launchers" / f"{python.version}-{python.arch}-{libraries.id}"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(launcher(python.path, libraries.id))
    files += [(LAUNCHER, script), (f"{SELF}-{secondsite.__version__}.dist-info/METADATA", _metadata())]
    return _part("releases", sorted(files), python, prefix=f"{secondsite.__version__}-", executable=(LAUNCHER,))


def _part(
    folder: str, files: list[tuple[str, Path]], python: Python, *, prefix: str = "", executable: tuple[str, ...] = ()
) -> Part:
    compiled = python.like_ours
    part_id = prefix + identity(files, python.version, python.arch, str(compiled))
    archive = cache() / folder / f"{part_id}.tar.gz"
    if not archive.exists():
        home = str(paths.PROGRAM / folder / part_id)
        build(files, archive, home=home, executable=executable, compiled=compiled)
        _prune(archive.parent, keep=archive)
    return Part(folder, part_id, archive, compiled)


def _prune(folder: Path, *, keep: Path, count: int = 6) -> None:
    """Keep the newest few archives of a kind."""
    old = sorted(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)[count:]
    for path in old:
        if path != keep:
            path.unlink(missing_ok=True)


def _metadata() -> Path:
    """Our own METADATA, so that a host can bundle for other hosts."""
    from importlib.metadata import distribution

    installed = distribution(SELF)
    for file in installed.files or ():
        if str(file).endswith(".dist-info/METADATA"):
            return Path(str(file.locate()))
    copy = cache() / "METADATA"
    copy.write_text(installed.read_text("METADATA") or f"Metadata-Version: 2.1\nName: {SELF}\n")
    return copy
