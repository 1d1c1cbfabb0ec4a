"""Processes the lab started: known by pid and start time, so that a reused pid is never mistaken for ours."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondsite_lab import enter
from secondsite_lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Process:
    """One process, also after its pid went to somebody else."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return int(fields[19]) == self.started and fields[0] not in "ZX"

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, to this process only."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def wait_gone(self, timeout: float) -> bool:
        """Wait until it ended."""
        deadline = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True


def process_of(pid: int) -> Process | None:
    """The process that has this pid now."""
    try:
        return Process(pid, enter.start_ticks(pid))
    except (FileNotFoundError, ProcessLookupError):
        return None


def save(process: Process, record: Path) -> None:
    """Write a process down in one piece."""
    temporary = record.with_suffix(".new")
    temporary.write_text(json.dumps({"pid": process.pid, "started": process.started}))
    temporary.rename(record)


def load(record: Path) -> Process | None:
    """A process written down before, whether it still lives or not."""
    try:
        document = json.loads(record.read_text())
    except FileNotFoundError:
        return None
    return Process(int(document["pid"]), int(document["started"]))


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def entering(argv: Sequence[str], *, record: Path, log: str, cgroups: Sequence[Path]) -> list[str]:
    """The command that joins the groups, writes itself down, and only then becomes the program."""
    return [sys.executable, "-I", "-S", enter.__file__, str(record), log, *map(str, cgroups), "--", *argv]


def start(
    argv: Sequence[str],
    *,
    record: Path,
    log: Path,
    cgroups: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
) -> Process:
    """Start a process that outlives this run; it is recorded before it becomes the program."""
    record.unlink(missing_ok=True)
    words = entering(argv, record=record, log=str(log), cgroups=cgroups)
    child = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log.open("ab"),
        start_new_session=True,
        env=None if env is None else dict(env),
    )
    deadline = time.monotonic() + 10
    while (process := load(record)) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"{argv[0]} did not start", f"its log is {log}")
        time.sleep(0.002)
    # The child lives on without us; nobody here waits for it.
    child.returncode = 0
    return process
