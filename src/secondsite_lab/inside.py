"""Run commands inside a host, as a shell on its console would."""

import os
from collections.abc import Sequence
from typing import NoReturn

from secondsite_lab.hosts import require_leader
from secondsite_lab.lab import Lab
from secondsite_lab.run import run
from secondsite_lab.topology import Host

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def argv(lab: Lab, host: Host, command: Sequence[str], user: str = "root") -> list[str]:
    """The command that enters all namespaces of a host and runs another one there."""
    leader = require_leader(lab, host)
    enter = ["nsenter", f"--target={leader.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    clean = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8", f"TERM={os.environ.get('TERM', 'dumb')}"]
    if user == "root":
        return [*enter, *clean, *command]
    return [*enter, *clean, "runuser", "-u", user, "--", *command]


def call(lab: Lab, host: Host, command: Sequence[str], *, user: str = "root", timeout: float = 30) -> str:
    """Run a command in a host to its end and return what it printed."""
    return run(argv(lab, host, command, user), timeout=timeout)


def become(lab: Lab, host: Host, command: Sequence[str], user: str = "root") -> NoReturn:
    """Turn this process into the command, so that its input, output and exit code are the caller's."""
    words = argv(lab, host, command, user)
    os.execvp(words[0], words)
