"""Both ends as processes of their own: at the source the watcher with its door and the rsync daemon, at the standby the
follower. Each can be killed at any moment, and is started again as systemd would do it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from churn.disks import Disk
from churn.follower import spec_of
from secondsite.files import store as records
from secondsite.files.rsync import daemon
from secondsite.files.store import mount_of
from secondsite.files.stream.heard import FRESH_SECONDS, Heard
from secondsite.files.stream.heard import load as heard
from secondsite.files.watch import config
from secondsite.spec import FileSet, Spec, paths

ADDRESS = "127.0.0.1"
DOOR, FILES = 7001, 7002  # where they listen; this is a network namespace of our own
DOOR_SEEN, FILES_SEEN = 8001, 8002  # where the standby reaches them, by a line that can be cut
_WATCHER = (
    "import os, sys; os.environ.pop('LD_PRELOAD', None); from pathlib import Path;"
    "from secondsite.files.watch.program import main;"
    "sys.exit(main(*map(Path, sys.argv[1:])))"
)


@dataclass(slots=True)
class Sites:
    """tools: where libfaketime was unpacked. died: processes that ended although nobody had killed them."""

    base: Path
    there: Disk
    here: Disk
    engine: str
    tools: Path
    died: list[str] = field(default_factory=list)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.source, self.outside, self.base / "store" / "files"):
            folder.mkdir(parents=True, exist_ok=True)
        self._settings = {
            "engine": self.engine,
            "path": str(self.copy),
            "watch_port": DOOR_SEEN,
            "files_port": FILES_SEEN,
        }
        self._write()

    @property
    def source(self) -> Path:
        """ZFS mirrors whole datasets, so the set is one."""
        return self.there.folder if self.engine == "zfs" else self.there.folder / "source"

    @property
    def outside(self) -> Path:
        """On the same file system as the source, and no part of the set."""
        return self.base / "outside" if self.engine == "zfs" else self.there.folder / "outside"

    @property
    def copy(self) -> Path:
        return self.here.folder if self.engine == "zfs" else self.here.folder / "uploads"

    @property
    def store(self) -> Path:
        return self.base / "store" / "files"

    @property
    def daemon(self) -> Path:
        """The file with the process id of the source's rsync daemon."""
        return self.base / "secondsite-files.pid"

    @property
    def spec(self) -> Spec:
        return spec_of(self._settings)

    @property
    def record(self) -> records.Record:
        return records.load("uploads", self.store)

    def told(self, now: float) -> Heard | None:
        """What the source has said lately; None while its changes are not followed."""
        seen = heard("uploads", self.record, self.store)
        return seen if seen is not None and abs(now - seen.at) < FRESH_SECONDS else None

    def _write(self) -> None:
        (self.base / "token").write_bytes(b"both sites know this")
        paths.PEER_TOKEN = self.base / "token"
        (self.base / "follower.json").write_text(json.dumps(self._settings))
        mount = mount_of(self.source)
        watched = config.text(ADDRESS, DOOR, [("uploads", str(self.source))], {"uploads": mount})
        (self.base / "watch.json").write_text(watched)
        offered = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})
        offered = offered.model_copy(update={"path": PurePosixPath(self.source)})
        text = daemon.configuration(
            [offered], {"uploads": mount}, own_address=ADDRESS, peer_address=ADDRESS, port=FILES
        )
        (self.base / "rsyncd.conf").write_text(text.replace("/run/", f"{self.base}/"))
        for clock in ("watcher", "follower"):
            self.set_clock(clock, 0)

    # Clocks

    def set_clock(self, whose: str, offset: int) -> None:
        """Ahead by ``offset`` seconds, within a second; the machine's own clock is nobody's to touch."""
        fresh = self.base / f"clock-{whose}.new"
        fresh.write_text(f"{offset:+d}\n")
        fresh.replace(self.base / f"clock-{whose}")

    def _environment(self, whose: str) -> dict[str, str]:
        library = next(self.tools.glob("usr/lib/*/faketime/libfaketime.so.1"), None)
        if library is None:
            raise RuntimeError("libfaketime is not there: scripts/setup.sh tests")
        return {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.base / f"clock-{whose}"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # times of files are the kernel's
            "PYTHONUNBUFFERED": "1",
        }

    # Processes

    def start(self) -> None:
        """Whatever does not run."""
        base = str(self.base)
        rsync = ["rsync", "--daemon", "--no-detach", f"--config={base}/rsyncd.conf", f"--log-file={base}/rsyncd.log"]
        watcher = [sys.executable, "-c", _WATCHER, f"{base}/watch.json", f"{base}/journals", f"{base}/token"]
        self._start("daemon", rsync, dict(os.environ))
        self._start("watcher", watcher, self._environment("watcher"))
        self._start("follower", [sys.executable, "-m", "churn.follower", base], self._environment("follower"))

    def _start(self, name: str, argv: list[str], environment: dict[str, str]) -> None:
        known = self._running.get(name)
        if known is not None and known.poll() is None:
            return
        if known is not None:
            self.died.append(f"the {name} ended by itself with {known.returncode}: {self._log(name)[-2000:]}")
        with (self.base / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _log(self, name: str) -> str:
        path = self.base / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def mistakes(self) -> list[str]:
        """What no process of ours may ever say."""
        told = [*self.died]
        for name in ("watcher", "follower"):
            log = self._log(name)
            for words in ("Traceback", "a mistake of ours"):
                if words in log:
                    told.append(f"the {name} said: {log[log.index(words) :][:2000]}")
        return told

    def kill(self, name: str) -> None:
        """SIGKILL, and then to all that it has started, as systemd does before it starts it again."""
        child = self._running.pop(name, None)
        if child is None:
            return
        below = descendants(child.pid)
        child.kill()
        child.wait()
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def copying(self) -> list[int]:
        """Every rsync and zfs that works for one of both ends now; of the daemon only its children."""
        found = [pid for child in self._running.values() for pid in descendants(child.pid)]
        return [pid for pid in found if _comm(pid) in ("rsync", "zfs")]

    def ask_why(self) -> None:
        """The follower writes into its log what it waits for."""
        child = self._running.get("follower")
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGUSR1)
            time.sleep(0.5)

    def stop(self) -> None:
        """All of them, without a word."""
        for name in list(self._running):
            self.kill(name)


def descendants(pid: int) -> list[int]:
    """Children, and theirs."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(each.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
