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

_PROCESS = re.compile(r'\("(?P<name>[^"]+)",pid=(?P<pid>\d+)')


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. unit: the systemd unit of its process; both None where the kernel itself listens."""

    protocol: str
    port: int
    process: str | None
    unit: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def listeners() -> tuple[Listener, ...]:
    """Every listening TCP and UDP socket; empty where ``ss`` is not installed."""
    try:
        done = await run(["ss", "-H", "-l", "-n", "-t", "-u", "-p"], timeout=10, check=False)
    except SecondsiteError:
        return ()
    return tuple(
        Listener(protocol, port, name, unit_of(pid) if pid else None)
        for protocol, port, name, pid in parse(done.stdout)
    )


def parse(text: str) -> list[tuple[str, int, str | None, int | None]]:
    """Protocol, port, process name and id of each row; pure."""
    found = []
    for row in text.splitlines():
        words = row.split(None, 6)
        if len(words) < 6 or words[0] not in ("tcp", "udp"):
            continue
        port = words[4].rsplit(":", 1)[-1]
        who = _PROCESS.search(words[6]) if len(words) > 6 else None
        if port.isdigit():
            found.append((words[0], int(port), who["name"] if who else None, int(who["pid"]) if who else None))
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


def strangers(found: Sequence[Listener], spec: Spec, *, tunnel_is_ours: bool) -> list[Listener]:
    """Listeners on our ports that are not ours; the database's port is judged where its cluster is."""
    tunnel = spec.tunnel
    taken = []
    for listener in found:
        ours = listener.unit is not None and listener.unit.startswith("secondsite-")
        if listener.protocol == "tcp" and listener.port in (tunnel.api_port, tunnel.files_port) and not ours:
            taken.append(listener)
        if listener.protocol == "udp" and listener.port == tunnel.port and not tunnel_is_ours:
            taken.append(listener)
    return taken
