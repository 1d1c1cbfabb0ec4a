"""Two sites on real ZFS: two pools of zfs-fuse inside a host of the lab, with the door on the loopback between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.files import store as records
from secondsite.files.offer import door
from secondsite.files.rsync.pull import PullResult
from secondsite.files.zfs import names
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.engine import Zfs
from secondsite.files.zfs.host import Host
from secondsite.files.zfs.model import Tree
from secondsite.files.zfs.offered import Offer, Source
from secondsite.process import Completed
from secondsite.spec import FileSet
from secondsite_lab import hosts
from secondsite_lab.lab import Lab
from secondsite_lab.testing import RunningLab
from secondsite_lab.topology import BERGEN
from tests.integration.database_clusters import free_port

TOKEN = b"a token that both sites share"


@dataclass(slots=True)
class Machine:
    """The host in which both pools are."""

    host: Host

    def sh(self, script: str, *, check: bool = True, seconds: float = 60) -> str:
        done = subprocess.run(
            [*self.host.prefix, "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@dataclass
class Lying(Source):
    """A source that is honest until ``instead`` says what it sends whatever it is asked for."""

    instead: list[str] | None = None

    async def _send(self, argv: Sequence[str], line: socket.socket, name: str, offer: Offer) -> None:
        await super()._send(self.instead or argv, line, name, offer)


@dataclass(slots=True)
class Site:
    """One pool, what its host remembers, and its door."""

    machine: Machine
    pool: str
    path: str
    store: Path
    port: int
    settings: dict[str, Any]
    offers: dict[str, Offer] = field(default_factory=dict)
    source: Lying | None = None

    @property
    def root(self) -> str:
        return f"{self.pool}/up"

    @property
    def fileset(self) -> FileSet:
        return FileSet.model_validate({"name": "up", "path": self.path, **self.settings})

    @property
    def seen(self) -> Path:
        """The set's folder, from outside."""
        return self.machine.host.root / self.path.lstrip("/")

    @property
    def record(self) -> records.Record:
        return records.load("up", self.store)

    def engine(self, other: Site) -> Zfs:
        door_there = Door("127.0.0.1", other.port, lambda: TOKEN)
        return Zfs(self.fileset, self.store, host=self.machine.host, door=door_there)

    async def pull(self, other: Site, *, timeout: float = 60) -> PullResult:
        return await self.engine(other).pull("127.0.0.1", 0, timeout=timeout)

    async def tree(self) -> Tree:
        found = await self.machine.host.tree(self.root)
        assert found is not None
        return found

    async def guids(self, path: str = "") -> list[int]:
        here = (await self.tree()).get(path)
        return [each.guid for each in here.snapshots] if here is not None else []

    def zfs(self, words: str, *, check: bool = True) -> str:
        return self.machine.sh(f"zfs {words}", check=check)

    def read(self, dataset: str, file: str) -> str:
        """A file of a copy, which is not mounted: by sending its newest snapshot into a pool that is only for looking.
        (zfs-fuse does not always survive clones that are mounted and unmounted in a hurry.)"""
        rows = self.zfs(f"get -Hpr -o name,value createtxg {dataset}").splitlines()
        taken = [row.split("\t") for row in rows if row.startswith(f"{dataset}@")]
        newest = max(taken, key=lambda row: int(row[1]))[0]
        look = f"look/{uuid.uuid4().hex[:8]}"
        return self.machine.sh(f"zfs send {newest} | zfs receive {look} && cat /{look}/{file}")


@dataclass(slots=True)
class Pair:
    """Two sites; ``oslo`` is the source at first."""

    oslo: Site
    bergen: Site

    async def round(self) -> PullResult:
        return await self.bergen.pull(self.oslo)

    async def begin(self) -> None:
        """The first round, without the empty dataset that it has put aside."""
        first = await self.round()
        assert first.complete, first
        (empty,) = self.asides(self.bergen)
        self.bergen.zfs(f"umount {empty}")
        self.bergen.machine.sh(f"for n in $(seq 50); do zfs destroy -r {empty} && exit; sleep 0.1; done; exit 1")

    def asides(self, site: Site) -> list[str]:
        """Datasets that went aside."""
        found = site.zfs(f"list -H -t filesystem -o name -r {site.pool}").split()
        return [
            each for each in found if each.count("/") == 1 and names.beside(each) and not each.endswith(names.INCOMING)
        ]


@contextlib.contextmanager
def machine(lab: RunningLab) -> Iterator[Machine]:
    """A host with ZFS running. Whoever ends a receive looks for a process named zfs: so nsenter is, too."""
    lab.inside("bergen", "systemctl", "start", "lab-zfs")
    leader = hosts.leader(Lab(lab.name), BERGEN)
    assert leader is not None
    with tempfile.TemporaryDirectory() as folder:
        enter = Path(folder) / "zfs"
        shutil.copy(str(shutil.which("nsenter")), enter)
        words = (str(enter), "--target", str(leader.pid), "--mount", "--pid", "--")
        made = Machine(Host(words, Path(f"/proc/{leader.pid}/root")))
        made.sh("zpool destroy -f look", check=False)
        made.sh("truncate -s 256M /root/look.img && zpool create look /root/look.img")
        yield made
        made.sh("zpool destroy -f look", check=False)


_ALONE = """set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
for each in /etc /var/lib; do
  mkdir -p "$1/upper$each" "$1/work$each"
  mount -t overlay -o "lowerdir=$each,upperdir=$1/upper$each,workdir=$1/work$each" overlay "$each"
done
mount -t tmpfs none /run && mkdir -p /run/lock /run/zfs /etc/zfs && cp -a "$2/etc/zfs/." /etc/zfs/
mount -t tmpfs none /root && mount -t tmpfs none /srv
export LD_LIBRARY_PATH="$(dirname "$(find "$2" -name libfuse.so.2 | head -n 1)")"
exec "$2/sbin/zfs-fuse" --no-daemon
"""


@contextlib.contextmanager
def machine_alone(folder: Path) -> Iterator[Machine]:
    """zfs-fuse in namespaces of its own: no host is booted for it. Skips (in CI: fails) where it cannot."""
    tools = Path(__file__).parents[2] / ".tools/unpacked"
    if os.geteuid() != 0 or shutil.which("unshare") is None or not (tools / "sbin/zfs-fuse").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs root, unshare and scripts/setup.sh tests")
    upper, enter = folder / "etc", folder / "zfs"
    upper.mkdir()
    words = ["unshare", "--mount", "--net", "bash", "-c", _ALONE, "zfs-fuse", str(upper), str(tools)]
    daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.copy(str(shutil.which("nsenter")), enter)
    library = next(tools.glob("**/libfuse.so.2")).parent
    path = f"PATH={tools / 'sbin'}:{os.environ['PATH']}"
    inside = (str(enter), "--target", str(daemon.pid), "--mount", "--net", "--")
    try:
        assert _begun(daemon.pid), "zfs-fuse did not begin in its namespaces"
        made = Machine(Host((*inside, "env", path, f"LD_LIBRARY_PATH={library}"), Path(f"/proc/{daemon.pid}/root")))
        made.sh("for n in $(seq 100); do zpool list >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1", seconds=60)
        made.sh("truncate -s 256M /root/look.img && zpool create look /root/look.img")
        yield made
    finally:
        daemon.kill()
        daemon.wait()
        for each in ("/zfs-kstat", "/look"):  # the folders are the machine's, what was mounted there is gone
            with contextlib.suppress(OSError):
                Path(each).rmdir()


def _begun(pid: int) -> bool:
    """Whoever enters before has the machine's own namespaces."""
    for _ in range(200):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "zfs-fuse":
            return True
        time.sleep(0.05)
    return False


@asynccontextmanager
async def pair(machine: Machine, base: Path, **settings: Any) -> AsyncIterator[Pair]:
    """Two pools, a dataset in each, and both doors open."""
    unique = uuid.uuid4().hex[:8]
    sites = []
    for name in ("oslo", "bergen"):
        pool, path = f"{name}{unique}", f"/srv/{name}{unique}"
        machine.sh(f"truncate -s 128M /root/{pool}.img && zpool create {pool} /root/{pool}.img")
        machine.sh(f"zfs create -o mountpoint={path} {pool}/up")
        sites.append(Site(machine, pool, path, base / name / "files", free_port(), dict(settings)))
    both = Pair(*sites)
    async with contextlib.AsyncExitStack() as stack:
        for site in sites:
            site.store.mkdir(parents=True)
            site.offers["up"] = Offer(site.path)
            site.source = Lying(lambda site=site: site.offers, machine.host)  # type: ignore[misc]
            stack.push_async_callback(_ended, asyncio.ensure_future(_serve(site)))
        try:
            await asyncio.sleep(0.1)
            yield both
        finally:
            for site in sites:
                once_more = "for n in $(seq 50); do zpool destroy -f {pool} && break; sleep 0.1; done"
                tidy = "rm -f /root/{pool}.img; rmdir /{pool}"
                machine.sh(f"{once_more}; {tidy}".format(pool=site.pool), check=False)


async def _serve(site: Site) -> None:
    assert site.source is not None
    await door.serve("127.0.0.1", site.port, lambda: TOKEN, {"zfs": site.source}, tell=print)


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Killed(BaseException):
    """The program is gone before its next command, as after a SIGKILL."""


@asynccontextmanager
async def kills_after(site: Site, commands: int) -> AsyncIterator[Host]:
    """A host on which our program dies before its command number ``commands`` that changes something."""
    left = commands

    class Dying(Host):
        __slots__ = ()

        async def run(self, *words: str, check: bool = True, seconds: float = 60.0) -> Completed:
            nonlocal left
            if words[:2] not in (("zfs", "get"), ("zfs", "list")) and len(words) > 2:
                if left <= 0:
                    raise Killed
                left -= 1
            return await Host.run(self, *words, check=check, seconds=seconds)

    plain = site.machine.host
    yield Dying(plain.prefix, plain.root)


@asynccontextmanager
async def cut_after(site: Site, most: int) -> AsyncIterator[Site]:
    """The site behind a line that breaks after ``most`` bytes of a connection."""

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above = await asyncio.open_connection("127.0.0.1", site.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int) -> None:
            with contextlib.suppress(OSError):
                while left > 0 and (data := await source.read(min(65536, left))):
                    sink.write(data)
                    await sink.drain()
                    left -= len(data)
            for each in (writer, above):
                each.close()

        await asyncio.gather(pump(reader, above, most), pump(above_reader, writer, most))

    server = await asyncio.start_server(guest, "127.0.0.1", 0)
    async with server:
        yield replace(site, port=server.sockets[0].getsockname()[1])
