"""Labs for tests: brought up and taken down through the same commands that people use."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite_lab.applied import chosen_suite
from secondsite_lab.lab import runtime_directory

_COMMAND = (sys.executable, "-m", "secondsite_lab")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A lab that is up, with what a test does to it."""

    name: str
    info: dict[str, Any]

    def command(self, *arguments: str, timeout: float = 120) -> Done:
        """`secondsite-lab ARGUMENTS`, for this lab; arguments after `--` stay behind it."""
        before, after = _split(arguments)
        return lab_command(*before, "--name", self.name, *after, timeout=timeout)

    def must(self, *arguments: str, timeout: float = 120) -> str:
        """The same, when it has to succeed."""
        done = self.command(*arguments, timeout=timeout)
        assert done.code == 0, f"secondsite-lab {' '.join(arguments)}: {done.code}\n{done.out}{done.err}"
        return done.out

    def inside(self, host: str, *command: str, timeout: float = 120) -> str:
        """Run a command in a host; it has to succeed."""
        return self.must("exec", host, "--", *command, timeout=timeout)

    def from_world(self, *command: str, timeout: float = 60) -> Done:
        """Run a command of this machine where the customers are."""
        return finished(["ip", "netns", "exec", str(self.info["world"]["netns"]), *command], timeout=timeout)

    def ssh(self, address: str, *command: str, timeout: float = 60) -> Done:
        """Log in from the world as the operator, host keys checked."""
        words = ["ssh", "-F", str(self.info["ssh_config"]), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
        return self.from_world(*words, address, *command, timeout=timeout)


def _split(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if "--" not in arguments:
        return arguments, ()
    place = arguments.index("--")
    return arguments[:place], arguments[place:]


def finished(argv: Sequence[str], *, timeout: float) -> Done:
    """Run a command to its end, whatever its verdict."""
    done = subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False, errors="replace"
    )
    return Done(done.returncode, done.stdout, done.stderr)


def lab_command(*arguments: str, timeout: float = 120) -> Done:
    """`secondsite-lab ARGUMENTS`."""
    return finished([*_COMMAND, *arguments], timeout=timeout)


@contextmanager
def running_lab(name: str, *options: str) -> Iterator[RunningLab]:
    """A lab for the time of the block. Building the base image, if it has to be, may take minutes."""
    try:
        done = lab_command("up", "--name", name, "--json", "--suite", chosen_suite(), *options, timeout=900)
        assert done.code == 0, f"secondsite-lab up: {done.code}\n{done.err}"
        yield RunningLab(name, json.loads(done.out))
    finally:
        lab_command("down", "--name", name)


def left_behind(name: str) -> list[str]:
    """Everything on this machine that still belongs to a lab: empty after `down`."""
    found = [f"state {path}" for path in runtime_directory().glob(f"{name}*")]
    found += [f"disk {path}" for path in runtime_directory().glob(f".pool/*/{name}")]
    found += [f"namespace {path}" for path in Path("/run/netns").glob(f"ss-{name}-*")]
    found += [f"resolver {path}" for path in Path("/etc/netns").glob(f"ss-{name}-*")]
    found += [f"nspawn {path}" for path in Path("/run/systemd/nspawn").glob(f"*/ss-{name}-*")]
    # os.walk, because the groups of other labs may go while it looks
    groups = (folder for folder, _, _ in os.walk("/sys/fs/cgroup") if folder.endswith(f"/secondsite-lab/{name}"))
    found += [f"control group {folder}" for folder in groups]
    found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{name}/" in line]
    loops = finished(["losetup", "--all"], timeout=10).out.splitlines()
    found += [f"loop device {line}" for line in loops if f"/{name}/" in line]
    return [*found, *_processes(name)]


def _processes(name: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{runtime_directory()}/{name}/" in words or f"--machine=ss-{name}-" in words:
            found.append(f"process {path.parent.name} {words[:200]}")
    return found
