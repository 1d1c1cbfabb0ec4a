"""Round-trip time through the tunnel: the minimum of several pings, which queues cannot make smaller."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from secondsite.process import run

SAMPLES = 20
INTERVAL_SECONDS = 0.05
WAIT_SECONDS = 1


async def minimum(address: IPv4Address, *, samples: int = SAMPLES) -> float | None:
    """Milliseconds to ``address``; None where no answer came. Takes about ``samples`` * 50 ms, at most 3 s more.

    Raises SecondsiteError only where ping itself is missing or hangs.
    """
    argv = ["ping", "-n", "-q", "-c", str(samples), "-i", str(INTERVAL_SECONDS), "-W", str(WAIT_SECONDS), str(address)]
    done = await run(
        argv, timeout=samples * INTERVAL_SECONDS + WAIT_SECONDS + 5, check=False, step="measure the tunnel"
    )
    return parse(done.stdout)


def parse(text: str) -> float | None:
    """The minimum from ping's last line, ``rtt min/avg/max/mdev = 0.041/...`` (iputils; busybox says round-trip)."""
    found = re.search(r"(?:rtt|round-trip) min/avg/max(?:/mdev)? = ([0-9.]+)/", text)
    return float(found[1]) if found else None
