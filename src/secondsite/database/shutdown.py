"""Stop a primary in good order, so that its control file proves where it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from secondsite.database.cluster import Cluster
from secondsite.database.controldata import ControlData
from secondsite.database.controldata import read as read_control
from secondsite.database.delayed.release import release
from secondsite.database.fence import postmaster_runs
from secondsite.errors import FinalError, RetryableError
from secondsite.process import run

POLL_SECONDS = 0.003
ORDER_SECONDS = 10.0
CLEAN = "shut down"


async def fast(cluster: Cluster, *, seconds: float) -> ControlData:
    """A fast shutdown, and what the control file says afterwards; a cluster that is down already is only looked at.

    Success is a postmaster that is gone *and* a control file that says "shut down": ``pg_ctl stop`` has been seen to
    hang after the file said so, and to return while the standby was behind. Raises RetryableError (``stop-slow``)
    where it does not end in time, FinalError (``not-shut-down``) where it ended otherwise.
    """
    if postmaster_runs(cluster):
        await release(cluster)
        # The unit is told first, or systemd would take the end for a crash; the signal spares the wait for its tools.
        await run(["systemctl", "stop", "--no-block", cluster.unit], timeout=ORDER_SECONDS, step="stop database")
        _signal(cluster)
        await _gone(cluster, seconds)
    control = await read_control(cluster)
    if control.state != CLEAN:
        raise FinalError(
            f"{cluster} is down, and its control file says "
            f'"{control.state}", not "{CLEAN}": where it ended is not proven',
            slug="not-shut-down",
            step="stop database",
            hint=f"journalctl -u {cluster.unit} -n 50",
        )
    return control


def _signal(cluster: Cluster) -> None:
    """SIGINT asks a postmaster for a fast shutdown (manual 19.5)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(int((cluster.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGINT)


async def _gone(cluster: Cluster, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while postmaster_runs(cluster):
        if loop.time() > deadline:
            raise RetryableError(
                f"{cluster} has not ended within {seconds:g} s of a fast shutdown",
                slug="stop-slow",
                step="stop database",
                hint=f"journalctl -u {cluster.unit} -n 50",
            )
        await asyncio.sleep(POLL_SECONDS)
