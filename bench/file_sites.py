"""Two lab hosts with a file set that secondsite keeps, and a folder beside it that lsyncd keeps, on the same disks.

lsyncd has the quickest way that it can have: an rsync daemon at the other end of the same tunnel, so that no SSH is
started for a batch, and a delay of one second. Both folders begin with the same files. Who is measured is told by a
`Folders`; the other has nothing to do meanwhile. Files are written and looked at from outside: the hosts are on one
machine, so one clock counts, and no connection.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.results import Metric, write
from secondsite import __version__
from secondsite_lab.applied import AppliedLab, applied
from secondsite_lab.topology import UPLOADS

SOURCE, STANDBY = "oslo", "bergen"
BESIDE = "/srv/beside"  # what lsyncd keeps
PORT = 8730
FILES = 50_000
FILES_A_FOLDER = 100
FILE_BYTES = 1024
DISK = "16G"
EQUAL_SECONDS = 900.0
_HIDDEN = b"."  # begins the name of what is half-made, at either

_RSYNCD = f"""uid = root
gid = root
port = {PORT}
[beside]
path = {BESIDE}
read only = no
"""
_LSYNCD = f"""settings {{ logfile = "/var/log/lsyncd.log", nodaemon = true }}
sync {{ default.rsync, source = "{BESIDE}", target = "rsync://ADDRESS:{PORT}/beside", delay = 1,
  rsync = {{ binary = "/usr/bin/rsync", archive = true }} }}
"""


@dataclass(frozen=True, slots=True)
class Folders:
    """One of the two ways: a folder at the source, and its copy, both as seen from outside."""

    name: str
    source: Path
    copy: Path


@dataclass(frozen=True, slots=True)
class Sites:
    """The lab, and both ways that files take in it."""

    lab: AppliedLab

    @property
    def ours(self) -> Folders:
        return self._folders("secondsite", UPLOADS)

    @property
    def lsyncd(self) -> Folders:
        return self._folders("lsyncd, delay 1 s", BESIDE)

    def root(self, site: str) -> Path:
        """A host's file system as seen from outside."""
        return Path(self.lab.info["hosts"][site]["root"])

    def address(self, site: str) -> str:
        """Inside the tunnel."""
        return str(self.lab.info["hosts"][site]["tunnel_address"])

    def followed(self) -> bool:
        """Whether secondsite has compared everything and follows each change now."""
        status = self.lab.json(STANDBY, "secondsite status --json")
        return any(one.get("kept") == "stream" for one in status["replicas"])

    def versions(self) -> dict[str, str]:
        """Of what was measured, as Debian names it."""
        told = self.lab.on(SOURCE, "dpkg-query -W -f '${Package} ${Version}\\n' lsyncd rsync sanoid zfs-fuse")
        return {"secondsite": __version__, **dict(row.split(" ", 1) for row in told.splitlines())}

    @contextmanager
    def lsyncd_runs(self) -> Iterator[None]:
        """From here it has brought what there was, and waits for changes."""
        daemon = "rsync --daemon --no-detach --config=/root/rsyncd.conf"
        try:
            self.lab.on(STANDBY, f"systemd-run --collect --unit=bench-rsyncd {daemon}")
            self.lab.on(SOURCE, "systemd-run --collect --unit=bench-lsyncd lsyncd -nodaemon /root/lsyncd.lua")
            (self.lsyncd.source / "begun").write_text(str(time.time_ns()))
            until(lambda: equal(self.lsyncd), EQUAL_SECONDS)
            yield
        finally:
            self.lab.said(SOURCE, "systemctl stop bench-lsyncd")
            self.lab.said(STANDBY, "systemctl stop bench-rsyncd")

    def _folders(self, name: str, path: str) -> Folders:
        below = path.lstrip("/")
        return Folders(name, self.root(SOURCE) / below, self.root(STANDBY) / below)


@contextmanager
def sites(name: str, files: int) -> Iterator[Sites]:
    """Both ways are set up, with so many files in each."""
    with applied(name, "--disk-size", DISK, kept=False) as lab:
        both = Sites(lab)
        prepare(both, files)
        yield both


def prepare(both: Sites, files: int) -> None:
    """Install the peers, and fill both folders alike at both sites."""
    for site in (SOURCE, STANDBY):
        both.lab.on(site, "apt-get install -y -q --no-install-recommends lsyncd sanoid", timeout=300)
    put(both.root(STANDBY) / "root/rsyncd.conf", _RSYNCD)
    put(both.root(SOURCE) / "root/lsyncd.lua", _LSYNCD.replace("ADDRESS", both.address(STANDBY)))
    fill(both.ours.source / "old", files)
    beside = both.lsyncd
    shutil.copytree(both.ours.source, beside.source, copy_function=shutil.copy2, symlinks=True)
    shutil.copytree(beside.source, beside.copy, copy_function=shutil.copy2, symlinks=True)
    until(lambda: equal(both.ours), EQUAL_SECONDS)
    until(both.followed, EQUAL_SECONDS)
    os.sync()


def put(file: Path, text: str) -> None:
    """A file of a host, for root alone."""
    file.write_text(text)
    file.chmod(0o600)


def fill(folder: Path, files: int) -> None:
    """So many small files, each with a content of its own, a hundred in a folder."""
    for number in range(files):
        place = folder / f"{number // FILES_A_FOLDER:05d}"
        if number % FILES_A_FOLDER == 0:
            place.mkdir(parents=True)
        (place / f"file-{number}").write_bytes(os.urandom(FILE_BYTES))


def count(folder: Path) -> int:
    """Files below a folder, without those that are half-made; cheap enough to be asked while others work."""
    found, folders = 0, [os.fsencode(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for one in entries:
                    if one.is_dir(follow_symlinks=False):
                        folders.append(one.path)
                    else:
                        found += not one.name.startswith(_HIDDEN)
        except FileNotFoundError:
            continue
    return found


def equal(both: Folders, below: str = "") -> bool:
    """Whether every file is at the other end with its content, mode, owner and time. The times of folders are left
    out: lsyncd does not promise them."""
    source, copy = both.source / below, both.copy / below
    return count(source) == count(copy) and state(source) == state(copy)


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """By path: mode, owner, size, time and content of each file."""
    found: dict[str, tuple[object, ...]] = {}
    for where, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(where, name)  # noqa: PTH118  (a hundred thousand of them)
            try:
                seen = os.lstat(file)
                content = _content(file, seen.st_size)
            except FileNotFoundError:
                continue
            found[file[len(str(folder)) :]] = (
                seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_mtime_ns, content,
            )  # fmt: skip
    return found


def _content(file: str, size: int) -> bytes:
    with open(file, "rb") as opened:  # noqa: PTH123
        return opened.read() if size <= FILE_BYTES else hashlib.file_digest(opened, "sha256").digest()


def until(seen: Callable[[], bool], seconds: float, pause: float = 0.25) -> float:
    """Wait; the moment before the look that has seen it (monotonic). Raises SystemExit."""
    deadline = time.monotonic() + seconds
    while True:
        looked = time.monotonic()
        if seen():
            return looked
        if looked > deadline:
            raise SystemExit(f"nothing after {seconds:g} s")
        time.sleep(pause)


Measure = Callable[[Sites, int, int], Sequence[Metric]]


def run(name: str, measure: Measure, description: str, *, rounds: int) -> None:
    """One part alone: a lab of its own, a document, a table. rounds: where none are asked for."""
    options = arguments(description, rounds=rounds)
    with sites(f"bench-{name.replace('_', '-')}", options.files) as both:
        write(name, options.rounds, both.versions(), measure(both, options.rounds, options.scale))


def arguments(description: str, *, rounds: int) -> argparse.Namespace:
    """What a part can be told."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--files", type=int, default=FILES, help="that are in place before anything is measured")
    parser.add_argument("--scale", type=int, default=100, help="percent of what a round changes, for a first look")
    return parser.parse_args()


def inside(lab: AppliedLab, host: str, program: str, *words: str, timeout: float = 600) -> str:
    """Run a Python program on a host itself; what it prints."""
    done = lab.said(host, " ".join(("python3", "-IS", "-", *words)), stdin=program, timeout=timeout)
    if done.returncode != 0:
        raise SystemExit(f"at {host}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
