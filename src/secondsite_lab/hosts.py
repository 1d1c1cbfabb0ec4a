"""Boot hosts: each a systemd of its own, in its own namespaces and control groups, over its own disk."""

import os
import select
import socket
import time
from contextlib import closing
from pathlib import Path

from secondsite_lab import cgroups, processes
from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab
from secondsite_lab.processes import Process
from secondsite_lab.topology import Host

_BOOT_SECONDS = 60
# nspawn's own filter forbids fanotify; a site needs it to watch its files.
_SYSTEM_CALLS = "fanotify_init fanotify_mark open_by_handle_at name_to_handle_at"


def nspawn_argv(lab: Lab, host: Host, root: Path) -> list[str]:
    """How systemd-nspawn is called."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={root}",
        f"--machine=ss-{lab.name}-{host.name}",
        f"--hostname={host.name}",
        "--register=no",
        "--keep-unit",
        "--notify-ready=yes",
        f"--network-namespace-path=/run/netns/{lab.netns(host)}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        "--capability=all",
        f"--system-call-filter={_SYSTEM_CALLS}",
        "--bind=/dev/net/tun",
        "--bind=/dev/fuse",
    ]


def supervisor(lab: Lab, host: Host) -> Process | None:
    """The running systemd-nspawn of a host."""
    process = processes.load(lab.host_state(host) / "supervisor.json")
    return process if process is not None and process.alive() else None


def leader(lab: Lab, host: Host) -> Process | None:
    """The running init of a host, or None when the host is off."""
    process = processes.load(lab.host_state(host) / "leader.json")
    return process if process is not None and process.alive() else None


def require_leader(lab: Lab, host: Host) -> Process:
    """The init of a host that has to be on."""
    process = leader(lab, host)
    if process is None:
        raise LabError(f"{host.name} is off", f"secondsite-lab power-on {host.name} --name {lab.name}")
    return process


class Boot:
    """One host on its way up: started at once, waited for later, so that hosts boot side by side."""

    def __init__(self, lab: Lab, host: Host, root: Path, groups: list[Path]) -> None:
        self._lab, self._host = lab, host
        state = lab.host_state(host)
        self._log = state / "console.log"
        address = state / "notify"
        address.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(address))
        (state / "leader.json").unlink(missing_ok=True)
        cgroups.create(groups)
        self._process = processes.start(
            nspawn_argv(lab, host, root),
            record=state / "supervisor.json",
            log=self._log,
            cgroups=groups,
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
        )

    def wait(self) -> None:
        """Wait until the host's boot is complete, and write down its init."""
        deadline = time.monotonic() + _BOOT_SECONDS
        with closing(self._socket):
            while True:
                ready, _, _ = select.select([self._socket], [], [], 0.2)
                if ready and b"READY=1" in self._socket.recv(4096):
                    break
                if not self._process.alive():
                    raise self._failure("ended while it booted")
                if time.monotonic() > deadline:
                    raise self._failure(f"did not come up in {_BOOT_SECONDS} s")
        self._record_leader()

    def _record_leader(self) -> None:
        found = [processes.process_of(pid) for pid in processes.children(self._process.pid)]
        init = [process for process in found if process is not None]
        if len(init) != 1:
            raise self._failure(f"has {len(init)} init processes")
        processes.save(init[0], self._lab.host_state(self._host) / "leader.json")

    def _failure(self, what: str) -> LabError:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:]) if self._log.exists() else ""
        return LabError(f"{self._host.name} {what}\n{tail}")
