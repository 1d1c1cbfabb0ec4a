"""Freeze a host's database between two instructions, as a hung disk controller or a hypervisor's pause does."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

from secondsite_lab import cgroups
from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab
from secondsite_lab.processes import Process, process_of
from secondsite_lab.record import Record
from secondsite_lab.topology import Host

_SECONDS = 5.0
_STOPPED = "Tt"


def freeze(lab: Lab, record: Record, host: Host) -> int:
    """Stop every process of PostgreSQL without its knowledge (SIGSTOP); how many. Connections stay open.

    Looked at again until all stand still: the postmaster may have been about to start one more.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        found = list(_database(lab, record, host))
        if not found:
            raise LabError(f"no PostgreSQL runs at {host.name}", f"secondsite-lab exec {host.name} -- pg_lsclusters")
        running = [process for process in found if _state(process) not in _STOPPED]
        if not running:
            return len(found)
        if time.monotonic() > deadline:
            raise LabError(f"PostgreSQL at {host.name} could not be stopped in {_SECONDS:g} s")
        for process in running:
            process.kill(signal.SIGSTOP)
        time.sleep(0.01)


def thaw(lab: Lab, record: Record, host: Host) -> None:
    """Let what was frozen go on; nothing happens where nothing is."""
    for process in _database(lab, record, host):
        process.kill(signal.SIGCONT)


def _database(lab: Lab, record: Record, host: Host) -> Iterator[Process]:
    # By the host's control group, so that no other lab's database is meant, and by the kernel's own name for it.
    for pid in sorted(cgroups.members(record.groups(lab, host)[0])):
        try:
            named = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if named == "postgres" and (process := process_of(pid)) is not None:
            yield process


def _state(process: Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "T"  # gone: it does not run either
