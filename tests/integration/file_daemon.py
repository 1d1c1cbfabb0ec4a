"""A real rsync daemon on the loopback that offers throwaway folders, and sets that pull from it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from secondsite.files.rsync import daemon
from secondsite.files.rsync.pull import PullResult, pull
from secondsite.files.store import mount_of
from secondsite.spec import FileSet
from tests.integration.database_clusters import free_port

ADDRESS = "127.0.0.1"


@dataclass(slots=True)
class Mirror:
    """One set: the folder at the source, the folder here, what this host remembers."""

    fileset: FileSet
    source: Path
    store: Path
    port: int
    daemon: Path  # the file with the process id of the source's
    inner: tuple[str, ...] = ()  # mount points that have to be inside the source
    seconds: float = 60  # of a pull

    @property
    def target(self) -> Path:
        return Path(self.fileset.path)

    async def pull(self, **more: object) -> PullResult:
        return await pull(self.fileset, ADDRESS, self.port, store=self.store, timeout=self.seconds, **more)  # type: ignore[arg-type]

    def tree(self, where: Path) -> dict[str, bytes | None]:
        """Relative path to content, None for folders."""
        return {
            str(path.relative_to(where)): None if path.is_dir() else path.read_bytes()
            for path in sorted(where.rglob("*"))
            if not path.is_symlink()
        }


@contextmanager
def mirror(base: Path, *, mount: str | None = None, inner: str | None = None, **settings: object) -> Iterator[Mirror]:
    """The daemon with one module, ``uploads``. inner: a folder in it that has to be a mount point."""
    if shutil.which("rsync") is None or os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("rsync is not installed, or the tests do not run as root")
        pytest.skip("needs rsync and root")
    source = base / "source"
    source.mkdir()
    port = free_port()
    fileset = _fileset(base / "here" / "uploads", **settings)
    offered = _fileset(source)
    mounts = {"uploads": mount or mount_of(source)}
    points = (str(source / inner),) if inner is not None else ()
    text = daemon.configuration(
        [offered], mounts, {"uploads": points}, own_address=ADDRESS, peer_address=ADDRESS, port=port
    )
    config = base / "rsyncd.conf"
    config.write_text(text.replace("/run/", f"{base}/"))
    child = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={config}", "--log-file=/dev/null"])
    try:
        wait(port)
        yield Mirror(fileset, source, base / "store" / "files", port, base / "secondsite-files.pid", points)
    finally:
        child.terminate()
        child.wait()


def _fileset(path: Path, **settings: object) -> FileSet:
    """A set in a folder that a service's file may not name, because it is a temporary one."""
    valid = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"} | settings)
    return valid.model_copy(update={"path": PurePosixPath(path)})


def wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection((ADDRESS, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError("the daemon does not listen")
