"""Boot hosts: each a systemd of its own, in its own namespaces and control groups, over its own disk."""

import time
from pathlib import Path

from secondsite_lab import cgroups, processes
from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab
from secondsite_lab.processes import Process
from secondsite_lab.topology import WORLD, Host

SSH_PORT = 22
DNS_PORT = 53
_BOOT_SECONDS = 180  # half a second on an idle machine; but a busy disk may hold a boot up for a minute
_SHOWN_LINES = 25
_LISTEN = "0A"
# nspawn's own filter forbids fanotify; a site needs it to watch its files.
_SYSTEM_CALLS = "fanotify_init fanotify_mark open_by_handle_at name_to_handle_at"


def nspawn_argv(lab: Lab, host: Host, root: Path) -> list[str]:
    """How systemd-nspawn is called."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={root}",
        f"--machine={machine(lab, host)}",
        f"--hostname={host.name}",
        "--register=no",
        "--keep-unit",
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


def machine(lab: Lab, host: Host) -> str:
    """The name under which systemd-nspawn knows a host."""
    return f"ss-{lab.name}-{host.name}"


def forget(lab: Lab, host: Host, root: Path) -> None:
    """Remove what a killed systemd-nspawn leaves in its own folders."""
    own = Path("/run/systemd/nspawn")
    folder = own / "propagate" / machine(lab, host)
    if folder.is_dir():
        folder.rmdir()
    if root.is_dir():
        status = root.stat()
        (own / "locks" / f"inode-{status.st_dev}:{status.st_ino}").unlink(missing_ok=True)
        (root.parent / f".#{root.name}.lck").unlink(missing_ok=True)


def supervisor(lab: Lab, host: Host) -> Process | None:
    """The running systemd-nspawn of a host."""
    process = processes.load(lab.host_state(host) / "supervisor.json")
    return process if process is not None and process.alive() else None


def leader(lab: Lab, host: Host) -> Process | None:
    """The running init of a host, or None when the host is off."""
    record = lab.host_state(host) / "leader.json"
    process = processes.load(record)
    if process is not None and process.alive():
        return process
    # A host that rebooted itself has another init, under the same supervisor.
    above = supervisor(lab, host)
    return only_child(above) if above is not None else None


def only_child(process: Process) -> Process | None:
    """The child of a systemd-nspawn, which keeps only one: the host's init."""
    children = processes.children(process.pid)
    return processes.process_of(children[0]) if len(children) == 1 else None


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
        self._state = lab.host_state(host)
        self._log = self._state / "console.log"
        (self._state / "leader.json").unlink(missing_ok=True)
        cgroups.create(groups)
        self._groups = groups
        self._supervisor = processes.start(
            nspawn_argv(lab, host, root), record=self._state / "supervisor.json", log=self._log, cgroups=groups
        )

    def wait(self) -> None:
        """Wait until the host answers on its ports, as one would from outside, and write down its init.

        Not until its boot is complete: Debian's start of PostgreSQL alone sleeps for two seconds after the server is
        ready, and nobody who waits for a host to come back waits for that.
        """
        deadline = time.monotonic() + _BOOT_SECONDS
        ports = {SSH_PORT, DNS_PORT} if self._host is WORLD else {SSH_PORT}
        while True:
            init = only_child(self._supervisor)
            if init is not None and ports <= _listening(init):
                processes.save(init, self._state / "leader.json")
                return
            if not self._supervisor.alive():
                raise self._failure("ended while it booted")
            if time.monotonic() > deadline:
                raise self._failure(f"did not come up in {_BOOT_SECONDS} s")
            time.sleep(0.02)

    def _failure(self, what: str) -> LabError:
        printed = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        tail = [line for line in printed if line.strip()][-_SHOWN_LINES:]
        return LabError("\n".join((f"{self._host.name} {what}", *tail, *_doing(self._groups))))


def _doing(groups: list[Path]) -> list[str]:
    """What a host's processes are at, for whoever has to find out why it does not come up."""
    found = []
    for pid in sorted(cgroups.members(groups[0])):
        folder = Path("/proc") / str(pid)
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            found.append(f"  {pid} {state} {words or (folder / 'comm').read_text().strip()}"[:160])
        except OSError:
            continue
    return found


def _listening(process: Process) -> set[int]:
    """The TCP ports that are open in a process's network namespace, without a trace in that network."""
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        found.update(int(line.split()[1].rpartition(":")[2], 16) for line in lines if line.split()[3] == _LISTEN)
    return found
