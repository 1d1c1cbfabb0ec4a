"""The base image: a small Debian, built once for a suite and a list of packages, and then only copied."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from secondsite_lab import customise, lock, packages, sources
from secondsite_lab.cgroups import create, kill_and_remove
from secondsite_lab.errors import CommandFailed, LabError, UsageError
from secondsite_lab.lab import cache_directory
from secondsite_lab.processes import entering
from secondsite_lab.storage import Store

Tell = Callable[[str], None]
_BUILD_SECONDS = 900
_KEPT = 2


# A file of our own beside Debian's: replacing createcluster.conf would also lose its include_dir for conf.d.
_NO_CLUSTER_YET = (
    'mkdir -p "$1/etc/postgresql-common/createcluster.d"',
    'echo create_main_cluster = false >"$1/etc/postgresql-common/createcluster.d/lab.conf"',
)


def key(suite: str) -> str:
    """What the image depends on, as a name."""
    if suite not in packages.SUITES:
        raise UsageError(f"unknown suite {suite!r}", f"known: {', '.join(packages.SUITES)}")
    parts = [
        suite,
        *packages.installed(suite),
        "--",
        *packages.in_repository(suite),
        *_NO_CLUSTER_YET,
        customise.fingerprint(),
    ]
    return f"{suite}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where an image is built: a folder for what is needed meanwhile, and the builder's control groups."""

    folder: Path
    groups: list[Path]
    tell: Tell


def ensure(store: Store, suite: str, workshop: Workshop) -> str:
    """The key of the image for a suite, building it unless it is there."""
    name = key(suite)
    if store.image(name).exists():
        return name
    with lock.held(_lock(name), f"building the image {name}", timeout=_BUILD_SECONDS, waiting=workshop.tell):
        if not store.image(name).exists():
            started = time.monotonic()
            _build(store, suite, name, workshop)
            workshop.tell(f"image {name} built in {time.monotonic() - started:.0f} s")
    return name


def _lock(name: str) -> Path:
    return cache_directory() / f"{name}.lock"


def discard_abandoned(store: Store, suite: str) -> None:
    """Remove a half-built image, unless somebody builds it at this moment."""
    try:
        with lock.held(_lock(key(suite)), "the image", timeout=0):
            store.discard_unfinished_image(key(suite))
    except LabError:
        return


def _build(store: Store, suite: str, name: str, workshop: Workshop) -> None:
    workshop.tell(f"building the base image {name} (once; it is kept in {cache_directory()})")
    create(workshop.groups)
    try:
        target = store.begin_image(name)
        _bootstrap(suite, target, workshop)
        workshop.tell("image: settling it")
        customise.finish(target)
        store.finish_image(name)
        store.prune_images(suite, _KEPT)
    finally:
        kill_and_remove(workshop.groups)
        store.discard_unfinished_image(name)


def bootstrap_argv(suite: str, target: Path, source_list: Path) -> list[str]:
    """How mmdebstrap is called."""
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--skip=cleanup/apt"]
    argv += [f"--aptopt={option}" for option in sources.options()]
    argv += ["--dpkgopt=force-confold", "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*"]
    argv += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
    argv += [f"--essential-hook={hook}" for hook in _NO_CLUSTER_YET]
    argv += [f"--include={','.join(packages.installed(suite))}"]
    wanted = " ".join(packages.in_repository(suite))
    argv += ['--customize-hook=chroot "$1" apt-get clean']
    argv += [f'--customize-hook=chroot "$1" apt-get -y -q --no-install-recommends --download-only install {wanted}']
    return [*argv, suite, str(target), str(source_list)]


def _bootstrap(suite: str, target: Path, workshop: Workshop) -> None:
    source_list = workshop.folder / "sources.list"
    source_list.write_text("\n".join(sources.lines(suite)) + "\n")
    argv = bootstrap_argv(suite, target, source_list)
    with subprocess.Popen(
        entering(argv, record=workshop.folder / "builder.json", log="-", cgroups=workshop.groups),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(workshop.folder)},
    ) as process:
        try:
            output = _follow(process, workshop.tell)
        except BaseException:
            kill_and_remove(workshop.groups)
            raise
        if process.wait(timeout=60) != 0:
            raise CommandFailed(("mmdebstrap", suite), f"exit code {process.returncode}", output)


def _follow(process: "subprocess.Popen[str]", tell: Tell) -> str:
    """Pass on the builder's own milestones and keep its last words."""
    kept: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        kept = [*kept[-60:], line]
        if line.startswith("I: "):
            tell(f"image: {line[3:].strip()}")
    return "".join(kept)
