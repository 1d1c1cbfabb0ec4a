"""One emulated machine: started, cut off, killed, asked by ssh. Its power cord and its cable are pulled for real."""

from __future__ import annotations

import shlex
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from secondsite_lab.errors import CommandFailed, LabError
from secondsite_lab.guests.image import Image
from secondsite_lab.guests.wire import CONTROL_MAC, MACS, other
from secondsite_lab.run import run

BOOT_SECONDS = 900.0  # a minute on an idle machine
_OFF_SECONDS = 120.0
_KERNEL = (
    "root=/dev/vda rw console=ttyS0 quiet mitigations=off fsck.mode=skip audit=0 net.ifnames=0 tsc=reliable"
    " systemd.hostname={name}"
)


@dataclass(slots=True)
class Guest:
    """folder: where its disks and sockets are. program: a disk image that it sees read-only, as /dev/vdc."""

    name: str
    image: Image
    folder: Path
    program: Path
    memory: int = 1024  # MB
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def disk(self) -> Path:
        """Its data disk, /dev/vdb there."""
        return self.folder / f"{self.name}.disk"

    @property
    def log(self) -> Path:
        """What it prints at its console."""
        return self.folder / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Switch it on; returns at once. Disks that are there are used again."""
        system = self.folder / f"{self.name}.qcow2"
        if not system.exists():
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.image.root, "-F", "raw", system])
            with self.disk.open("wb") as disk:
                disk.truncate(2 << 30)
        self._forget_connection()
        self.port = _free_port()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv(system), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _argv(self, system: Path) -> list[str]:
        at, far, name = self.folder, other(self.name), self.name
        # Dies with whoever started it: an emulated machine that nobody knows of would eat a processor for ever.
        argv = ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "19", "qemu-system-x86_64", "-name", name]
        argv += ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off", "-M", "q35"]
        argv += ["-m", str(self.memory), "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)]
        argv += ["-append", _KERNEL.format(name=name), "-device", "virtio-rng-pci"]
        argv += ["-drive", f"file={system},if=virtio,cache=unsafe"]
        argv += ["-drive", f"file={self.disk},format=raw,if=virtio,discard=unmap"]
        argv += ["-drive", f"file={self.program},format=raw,if=virtio,readonly=on"]
        # restrict=on: the guest reaches nothing by this card, and is reached at one port of the loopback.
        argv += ["-netdev", f"user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        argv += ["-device", f"virtio-net-pci,netdev=control,mac={CONTROL_MAC},romfile="]
        ends = f"local.type=unix,local.path={at}/{name}.wire,remote.type=unix,remote.path={at}/{far}.wire"
        argv += ["-netdev", f"dgram,id=wire,{ends}"]
        argv += ["-device", f"virtio-net-pci,netdev=wire,mac={MACS[name]},romfile=,host_mtu=9000"]
        argv += ["-serial", f"file:{self.log}", "-monitor", f"unix:{at}/{name}.monitor,server=on,wait=off"]
        return argv

    def wait_up(self, seconds: float = BOOT_SECONDS) -> None:
        """Until it can be asked. Raises LabError with the last lines of its console."""
        deadline = time.monotonic() + seconds
        while True:
            if not self.running:
                raise LabError(f"the guest {self.name} has ended:\n{self._last_words()}")
            with suppress(CommandFailed):
                self.run("true", seconds=60)
                return
            if time.monotonic() > deadline:
                raise LabError(f"the guest {self.name} is not up after {seconds:g} s:\n{self._last_words()}")
            time.sleep(1.0)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def ssh(self, *, user: str = "root") -> list[str]:
        """The words before a command that runs there. One connection serves all: each costs seconds."""
        known = self.folder / f"{self.name}.known"
        known.write_text(f"[127.0.0.1]:{self.port} {self.image.host_key.read_text()}")
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "30",
            "ControlMaster": "auto",
            "ControlPath": str(self._connection),
            "ControlPersist": "yes",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "ServerAliveCountMax": "4",
            "ServerAliveInterval": "15",
            "UserKnownHostsFile": str(known),
        }
        words = ["ssh", "-F", "none", "-i", str(self.image.key), "-p", str(self.port)]
        for key, value in options.items():
            words += ["-o", f"{key}={value}"]
        words.append("root@127.0.0.1")
        return words if user == "root" else [*words, "sudo", "-u", user, "-H", "--"]

    def run(self, script: str, *, user: str = "root", seconds: float = 120.0) -> str:
        """What a shell script prints there. Raises CommandFailed."""
        argv = [*self.ssh(user=user), "sh", "-c", shlex.quote(script)]
        return run(argv, timeout=seconds).strip()

    @property
    def _connection(self) -> Path:
        return self.folder / f"{self.name}.ssh"

    def _forget_connection(self) -> None:
        if self._connection.exists():
            with suppress(CommandFailed):
                run(["ssh", "-F", "none", "-o", f"ControlPath={self._connection}", "-O", "exit", "root@127.0.0.1"])
            self._connection.unlink(missing_ok=True)

    def power_cut(self) -> None:
        """What it has not written to its disk is gone. `start` boots it again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)
        self._forget_connection()

    def power_off(self) -> None:
        """Shut it down in order, or cut the power where that takes too long."""
        if self.running:
            with suppress(CommandFailed):
                self.run("systemctl poweroff --no-block", seconds=60)
            assert self._process is not None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_OFF_SECONDS)
        self.power_cut()

    def cable(self, *, plugged: bool) -> None:
        """Pull the cable to the other guest, or put it in again."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.folder / f"{self.name}.monitor"))
            line.sendall(f"set_link wire {'on' if plugged else 'off'}\n".encode())
            said = b""
            while said.count(b"(qemu)") < 2:  # its greeting, and after the command
                piece = line.recv(65536)
                if not piece:
                    raise LabError(f"the monitor of {self.name} has ended")
                said += piece


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
