"""The load of a round: pgbench, a client who follows the service's name, and two probers at each site."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import urlsplit

from campaign.checks import Ack
from secondsite_lab import inside
from secondsite_lab.applied import BIN, AppliedLab
from secondsite_lab.errors import LabError
from secondsite_lab.lab import lab_named
from secondsite_lab.topology import host_named

PROBER = Path(__file__).with_name("clients") / "prober.py"
LOCAL = "host=/var/run/postgresql dbname=shop user=postgres"
PGBENCH_RATE = "30"


class Load:
    """Runs as long as the block. What ends early, as all at a host that loses its power, is started again."""

    def __init__(self, lab: AppliedLab, folder: Path) -> None:
        self._lab, self._folder = lab, folder
        self._over = threading.Event()
        self._keepers: list[threading.Thread] = []

    def __enter__(self) -> Load:
        for name in ("service", *(f"{path}-{site}" for path in ("socket", "address") for site in ("oslo", "bergen"))):
            self._keep(name)
        self._keep("pgbench")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for keeper in self._keepers:
            keeper.join(timeout=20)

    def acknowledged(self) -> tuple[Ack, ...]:
        """Every row that somebody was told is committed, in the order of the telling."""
        found = [ack for path in self._folder.glob("acks-*.jsonl") for ack in read(path, self._site_of())]
        return tuple(sorted(found, key=lambda ack: ack.acknowledged))

    def _site_of(self) -> dict[str, str]:
        return {host["address"]: name for name, host in self._lab.info["hosts"].items()}

    def _keep(self, name: str) -> None:
        keeper = threading.Thread(target=self._run, args=(name,), daemon=True)
        self._keepers.append(keeper)
        keeper.start()

    def _run(self, name: str) -> None:
        with (self._folder / f"acks-{name}.jsonl").open("ab") as out, (self._folder / f"{name}.err").open("ab") as err:
            while not self._over.is_set():
                try:
                    argv = self._argv(name)
                except (LabError, OSError, StopIteration):
                    argv = []
                if argv:
                    self._once(argv, err if name == "pgbench" else out, err)
                self._over.wait(0.2)

    def _once(self, argv: list[str], out: IO[bytes], err: IO[bytes]) -> None:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        while child.poll() is None and not self._over.wait(0.1):
            continue
        # The whole group: what entered a host has a child there, which would write on behind the last look.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=10)

    def _argv(self, name: str) -> list[str]:
        dsn, server = self._lab.info["app"]["dsn"], self._lab.info["dns"]["server"]
        if name == "service":
            return self._lab.world(str(BIN / "python"), str(PROBER), name, "", dsn, server)
        if name == "pgbench":
            return self._pgbench()
        path, site = name.split("-")
        if path == "socket":
            command = ["python3", "-c", PROBER.read_text(), name, site, LOCAL]
            return inside.argv(lab_named(self._lab.name), host_named(site), command, "postgres")
        parts = urlsplit(dsn)
        address = self._lab.info["hosts"][site]["address"]
        there = parts._replace(netloc=f"{parts.username}:{parts.password}@{address}:5432").geturl()
        return self._lab.world(str(BIN / "python"), str(PROBER), name, site, there)

    def _pgbench(self) -> list[str]:
        # It does not look the name up again by itself, so each start does.
        command = (
            "import os, sys; sys.path.insert(0, sys.argv[1]); from prober import address;"
            "where = address(sys.argv[2], sys.argv[3]);"
            "os.execv(sys.argv[4], ['pgbench', '-n', '-c', '2', '-R', sys.argv[5], '-T', '600', "
            "sys.argv[2].replace('@' + sys.argv[6] + ':', '@' + where + ':')])"
        )
        dsn = self._lab.info["app"]["dsn"]
        words = [str(PROBER.parent), dsn, self._lab.info["dns"]["server"], pgbench(), PGBENCH_RATE]
        return self._lab.world(str(BIN / "python"), "-c", command, *words, str(urlsplit(dsn).hostname))


def pgbench() -> str:
    """The newest pgbench of this machine. Raises LabError where there is none."""
    found = max(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench")), default=None)
    if found is None:
        raise LabError("there is no pgbench on this machine", "apt-get install postgresql")
    return found


def read(path: Path, site_of: dict[str, str]) -> Iterator[Ack]:
    """The rows of one prober's file; a line that a killed prober did not end is nothing that it has told."""
    for line in path.read_text(errors="replace").splitlines(keepends=True):
        if line.endswith("}\n") and line.startswith("{"):
            row = json.loads(line)
            high, low = row["lsn"].split("/")
            yield Ack(
                row["key"], row["path"], site_of.get(row["site"], row["site"]), row["sent"], row["acknowledged"],
                row["timeline"], (int(high, 16) << 32) + int(low, 16),
            )  # fmt: skip


def wait_for_load(load: Load, site: str, seconds: float = 15) -> float:
    """Wait until both probers at the primary and the client have had a row acknowledged; the moment."""
    deadline = time.monotonic() + seconds
    wanted = {"service", f"socket-{site}", f"address-{site}"}
    while not wanted <= {ack.path for ack in load.acknowledged()}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no row was acknowledged by {wanted - {ack.path for ack in load.acknowledged()}}")
        time.sleep(0.1)
    return time.monotonic()
