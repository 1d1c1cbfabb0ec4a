"""Somebody who writes at every site at once, past the DNS, and remembers which site acknowledged what, and when.

Run with HOST=DSN for each; ``writing`` is printed when every host has been tried. Until SIGTERM; then one JSON
document: a list of {host, id, began, ended} in the order of the acknowledgements, in seconds of one clock.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from types import FrameType

import psycopg

TABLE = "written_at_every_site"
BETWEEN_SECONDS = 0.05
AFTER_ERROR_SECONDS = 0.2
# A host without power answers nothing: such a line ends after two seconds (libpq: connect_timeout, tcp_user_timeout).
PATIENCE = {"connect_timeout": 2, "tcp_user_timeout": 2000}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One row that a site has promised to keep."""

    host: str
    id: str
    began: float
    ended: float


def main() -> None:
    """Write at every host until told to stop."""
    hosts = dict(word.split("=", 1) for word in sys.argv[1:])
    enough = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        enough.set()

    signal.signal(signal.SIGTERM, stop)
    kept: list[Acknowledged] = []
    begun = threading.Barrier(len(hosts) + 1)
    threads = [
        threading.Thread(target=_write, args=(host, dsn, kept, enough, begun), daemon=True)
        for host, dsn in hosts.items()
    ]
    for thread in threads:
        thread.start()
    begun.wait()
    print("writing", flush=True)
    enough.wait()
    for thread in threads:
        thread.join(timeout=10)
    print(json.dumps([asdict(one) for one in sorted(kept, key=lambda one: one.ended)]), flush=True)


def _write(host: str, dsn: str, kept: list[Acknowledged], enough: threading.Event, begun: threading.Barrier) -> None:
    connection: psycopg.Connection | None = None
    run, number, tried = f"{time.time():.3f}-{host}", 0, False
    while not enough.wait(BETWEEN_SECONDS):
        number += 1
        began = time.monotonic()
        try:
            if connection is None:
                connection = psycopg.connect(dsn, autocommit=True, **PATIENCE)  # type: ignore[arg-type]
                connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (id text PRIMARY KEY)")
            connection.execute(f"INSERT INTO {TABLE} (id) VALUES (%s)", (f"{run}-{number}",))
            kept.append(Acknowledged(host, f"{run}-{number}", began, time.monotonic()))
        except psycopg.Error:
            if connection is not None:
                connection.close()
            connection = None
            enough.wait(AFTER_ERROR_SECONDS)
        if not tried:
            tried = True
            begun.wait()


if __name__ == "__main__":
    main()
