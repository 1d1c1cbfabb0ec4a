"""Who listens on the ports that secondsite needs (``ss``, iproute2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secondsite.errors import SecondsiteError
from secondsite.process import run
from secondsite.spec import Spec

_EVERYWHERE = ("*", "0.0.0.0", "[::]", "127.0.0.1", "[::1]")  # a cluster could not listen beside these
_PROCESS = re.compile(r'\("(?P<name>[^"]+)",pid=(?P<pid>\d+)')


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. unit: the systemd unit of its process; both None where the kernel itself listens.

    address: as ``ss`` prints it; "0.0.0.0", "[::]" and "*" are every address.
    """

    protocol: str
    port: int
    process: str | None
    unit: str | None
    address: str = "*"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def listeners() -> tuple[Listener, ...]:
    """Every listening TCP and UDP socket; empty where ``ss`` is not installed."""
    try:
        done = await run(["ss", "-H", "-l", "-n", "-t", "-u", "-p"], timeout=10, check=False)
    except SecondsiteError:
        return ()
    return tuple(
        Listener(protocol, port, name, unit_of(pid) if pid else None, address)
        for protocol, address, port, name, pid in parse(done.stdout)
    )


def parse(text: str) -> list[tuple[str, str, int, str | None, int | None]]:
    """Protocol, address, port, process name and id of each row; pure."""
    found = []
    for row in text.splitlines():
        words = row.split(None, 6)
        if len(words) < 6 or words[0] not in ("tcp", "udp"):
            continue
        address, _, port = words[4].rpartition(":")
        who = _PROCESS.search(words[6]) if len(words) > 6 else None
        if port.isdigit():
            found.append((words[0], address, int(port), who["name"] if who else None, int(who["pid"]) if who else None))
    return found


def unit_of(pid: int) -> str | None:
    """The systemd unit that a process belongs to, from its control group."""
    try:
        rows = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for row in rows:
        parts = [part for part in row.rsplit(":", 1)[-1].split("/") if part.endswith((".service", ".scope"))]
        if parts:
            return parts[-1]
    return None


def strangers(found: Sequence[Listener], spec: Spec, *, tunnel_is_ours: bool, cluster_runs: bool) -> list[Listener]:
    """Listeners on our ports that are not ours. cluster_runs: our cluster has its port, so nobody else has it."""
    tunnel = spec.tunnel
    taken = []
    for listener in found:
        ours = listener.unit is not None and listener.unit.startswith("secondsite-")
        if listener.protocol == "tcp" and listener.port in tunnel.inner_ports and not ours:
            taken.append(listener)
        if listener.protocol == "udp" and listener.port == tunnel.port and not tunnel_is_ours:
            taken.append(listener)
        if listener.protocol == "tcp" and listener.port == spec.database.port and not cluster_runs:
            taken += [listener] if listener.address in _EVERYWHERE else []
    return taken
