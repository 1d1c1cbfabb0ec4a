"""Start, stop, reload: through the cluster's systemd unit, and believed only once it was observed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from secondsite import process
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.connect import connect
from secondsite.errors import FinalError, RetryableError

ORDER_SECONDS = 120  # systemctl itself; what a start takes beyond is waited for in ``answering``
POLL_SECONDS = 0.1
_ENDING_LINES = 12
_GRAVE = re.compile(r"\b(?:FATAL|PANIC):\s+(.*)")


class Control(Protocol):
    """What starts and stops one cluster. Every call returns once the order was carried out, or raises."""

    async def start(self) -> None:
        """Start it; already running is fine."""

    async def stop(self) -> None:
        """Stop it (fast: clients are disconnected, everything is written); already stopped is fine."""

    async def restart(self) -> None:
        """Stop and start."""

    async def reload(self) -> None:
        """Have it read its files again."""


@dataclass(frozen=True, slots=True)
class SystemdControl:
    """Debian's postgresql@VERSION-NAME.service."""

    cluster: Cluster

    async def start(self) -> None:
        await self._order("start")

    async def stop(self) -> None:
        await self._order("stop")

    async def restart(self) -> None:
        await self._order("restart")

    async def reload(self) -> None:
        await self._order("reload")

    async def _order(self, verb: str) -> None:
        unit = self.cluster.unit
        step, hint = f"{verb} {unit}", f"journalctl -u {unit} -n 50; the end of {log_file(self.cluster)}"
        done = await process.run(["systemctl", verb, unit], timeout=ORDER_SECONDS, check=False, step=step, hint=hint)
        if not done.ok:  # systemctl itself only says where to look
            told = [words for words in (await _journal(unit), last_words(self.cluster)) if words]
            raise FinalError(
                f"systemctl {verb} {unit} ended with {done.code}: {'; its log: '.join(told) or done.why()}",
                slug="database-not-starting" if verb != "stop" else "program-failed",
                step=step,
                hint=hint,
            )


async def _journal(unit: str) -> str:
    """The last words that a unit's programs, and systemd about it, have said."""
    argv = ["journalctl", "--unit", unit, "--lines", "6", "--output", "cat", "--no-pager", "--quiet"]
    done = await process.run(argv, timeout=ORDER_SECONDS, check=False)
    return " / ".join(line.strip() for line in done.stdout.splitlines() if line.strip())


async def answering(cluster: Cluster, *, seconds: float) -> None:
    """Wait until the cluster takes connections. Raises FinalError (slug ``database-not-starting``) with its log."""
    last = "it does not answer"
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await apart(lambda: connect(cluster).close())
                    return
                except RetryableError as refused:
                    last = refused.message
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as late:
        raise FinalError(
            f"{cluster} did not start within {seconds:g} s: {last_words(cluster) or last}",
            slug="database-not-starting",
            hint=f"journalctl -u {cluster.unit}; the end of {log_file(cluster)}",
        ) from late


def log_file(cluster: Cluster) -> Path:
    """Where Debian's pg_ctlcluster sends the server's log."""
    return Path("/var/log/postgresql", f"postgresql-{cluster.version}-{cluster.name}.log")


def last_words(cluster: Cluster) -> str:
    """The last line of trouble in the server's log; empty where there is none."""
    bad = [row for row in tail(log_file(cluster)) if any(mark in row for mark in ("FATAL:", "ERROR:", "PANIC:"))]
    return bad[-1].strip() if bad else ""


def cause_of_death(cluster: Cluster) -> str:
    """Why a server that runs no more has ended by itself; empty where somebody stopped it, or its log tells nothing."""
    return died_of(tail(log_file(cluster)))


def died_of(rows: Sequence[str]) -> str:
    """Pure: the reason in the last lines of a log. Replay that cannot go on ends the whole server."""
    end = rows[-_ENDING_LINES:]
    if not any("startup process failure" in row or "PANIC:" in row for row in end):
        return ""
    reasons = [found.group(1).strip() for row in end if (found := _GRAVE.search(row))]
    return next((why for why in reversed(reasons) if not why.startswith("terminating")), "")


def tail(path: Path) -> list[str]:
    """The last lines of a log; none where it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - 16384))
            return log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
