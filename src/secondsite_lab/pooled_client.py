"""Clients that write through PgBouncer without a pause, and remember every commit, every error and every wait.

Run until SIGTERM; then one JSON document: {commits, errors, longest_wait_seconds, lost}. A connection that breaks is
made anew, and counts as an error: PgBouncer is there so that none breaks. ``lost``: commits that were acknowledged and
are not in the table afterwards.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from dataclasses import dataclass, field
from types import FrameType

import psycopg

TABLE = "written_through_pgbouncer"
BETWEEN_SECONDS = 0.01


@dataclass
class Seen:
    """What all clients together have seen."""

    committed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


def main() -> None:
    """Write through every DSN with so many clients, until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dsn", nargs="+")
    parser.add_argument("--clients", type=int, default=3)
    given = parser.parse_args()
    enough = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        enough.set()

    signal.signal(signal.SIGTERM, stop)
    with _connect(given.dsn[0]) as first:
        first.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (id text PRIMARY KEY, at timestamptz DEFAULT now())")
    seen = Seen()
    run = f"{time.time():.3f}"
    threads = [
        threading.Thread(target=_write, args=(dsn, f"{run}-{site}-{number}", seen, enough))
        for site, dsn in enumerate(given.dsn)
        for number in range(given.clients)
    ]
    for thread in threads:
        thread.start()
    print("writing", flush=True)
    for thread in threads:
        thread.join()
    with _connect(given.dsn[0]) as last:
        there = {row[0] for row in last.execute(f"SELECT id FROM {TABLE}").fetchall()}
    document = {
        "commits": len(seen.committed),
        "errors": seen.errors,
        "longest_wait_seconds": round(max(seen.waits, default=0.0), 4),
        "lost": [one for one in seen.committed if one not in there],
    }
    print(json.dumps(document), flush=True)


def _write(dsn: str, name: str, seen: Seen, enough: threading.Event) -> None:
    connection: psycopg.Connection | None = None
    number = 0
    while not enough.wait(BETWEEN_SECONDS):
        number += 1
        began = time.monotonic()
        try:
            connection = connection or _connect(dsn)
            with connection.transaction():
                connection.execute(f"INSERT INTO {TABLE} (id) VALUES (%s)", (f"{name}-{number}",))
            seen.committed.append(f"{name}-{number}")
        except psycopg.Error as failed:
            seen.errors.append(f"{time.time():.3f} {name}: {type(failed).__name__}: {str(failed).strip()}")
            if connection is not None:
                connection.close()
            connection = None
        seen.waits.append(time.monotonic() - began)
    if connection is not None:
        connection.close()


def _connect(dsn: str) -> psycopg.Connection:
    """Prepared statements belong to a session of the server, and PgBouncer hands out transactions."""
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, connect_timeout=60)


if __name__ == "__main__":
    main()
