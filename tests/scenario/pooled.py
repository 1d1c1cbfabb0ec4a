"""Clients that write through PgBouncer while a test does its worst, and what they must not see."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from secondsite_lab import pooler
from secondsite_lab.applied import BIN, AppliedLab


@contextmanager
def clients(lab: AppliedLab, *through: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """Clients that write through PgBouncer of these hosts; what they saw is known once they are told to stop."""
    argv = [str(BIN / "python"), "-m", "secondsite_lab.pooled_client", *(pooler.dsn_of(lab, host) for host in through)]
    writing = subprocess.Popen(lab.world(*argv), stdout=subprocess.PIPE, text=True)
    assert writing.stdout is not None

    def stop() -> dict[str, Any]:
        writing.terminate()
        told, _ = writing.communicate(timeout=60)
        return dict(json.loads(told))

    try:
        assert writing.stdout.readline() == "writing\n"
        time.sleep(1)
        yield stop
    finally:
        writing.kill()
        writing.wait(timeout=10)


def unharmed(seen: dict[str, Any]) -> None:
    """No client saw an error, and nothing that was acknowledged is missing."""
    assert seen["errors"] == [] and seen["lost"] == []
    assert seen["commits"] > 50


def target(lab: AppliedLab, host: str) -> str:
    """host|paused, as PgBouncer of a host says itself."""
    ask = f"runuser -u postgres -- psql -p {pooler.PORT} -U pgbouncer -XAtF ' ' -c 'SHOW DATABASES' pgbouncer"
    row = next(row.split(" ") for row in lab.on(host, ask).splitlines() if row.startswith("shop "))
    return f"{row[1]}|{row[-2]}"


def until_served(lab: AppliedLab, host: str, seconds: float = 20) -> None:
    """PgBouncer there sends its clients to the database beside it, and lets none of them wait."""
    deadline = time.monotonic() + seconds
    while (seen := target(lab, host)) != "127.0.0.1|0":
        assert time.monotonic() < deadline, f"clients of PgBouncer at {host} are sent to {seen}"
        time.sleep(0.3)
