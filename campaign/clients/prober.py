"""Write a row every 50 ms and tell of each that was acknowledged: at a site, from inside or outside, or at the service.

    python prober.py PATH SITE DSN [NAME_SERVER]

A line for each acknowledged row: {key, path, site, sent, acknowledged, timeline, lsn}. Times are CLOCK_MONOTONIC: all
hosts of a lab are on one machine, and no fault changes that clock. With NAME_SERVER the DSN's host is a name that is
asked for anew for each connection, as an honest resolver would; SITE is then the address that it led to.

A write that hangs is not cancelled: PostgreSQL acknowledges a cancelled commit that waits for a standby with a warning
only (manual, 27.2.8), which no promise covers. After two seconds another connection is tried beside it, and should the
first be answered after all, that counts as acknowledged too.

Runs with psycopg, and inside a host with the psycopg2 that stands there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from typing import Any

EVERY = 0.05
PATIENCE = 2.0
MOST_HANGING = 30
INSERT = (
    "INSERT INTO orders (key, item, quantity) VALUES (%s, 'campaign', 1) "
    "RETURNING pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_insert_lsn()"
)


def driver() -> Any:
    """Whichever driver there is."""
    try:
        return importlib.import_module("psycopg")
    except ImportError:
        return importlib.import_module("psycopg2")


class Writer(threading.Thread):
    """One connection after the other, one row after the other, until another writer has taken its place."""

    def __init__(self, path: str, site: str, dsn: str, server: str | None) -> None:
        super().__init__(daemon=True)
        self.path, self.site, self.dsn, self.server = path, site, dsn, server
        self.given_up = False
        self.began = time.monotonic()

    def run(self) -> None:
        """Never ends by itself while it is the current one."""
        connection: Any = None
        while not self.given_up:
            self.began = time.monotonic()
            try:
                if connection is None:
                    connection = self.connect()
                self.write(connection)
            except Exception:  # noqa: BLE001 - two drivers, one meaning: not acknowledged
                # A standby says that it is read-only, and the same connection may write after a promotion. Who follows
                # a name asks again where it leads.
                if connection is not None and (connection.closed or self.server is not None):
                    connection.close()
                    connection = None
            time.sleep(max(0.0, EVERY - (time.monotonic() - self.began)))
        if connection is not None:
            connection.close()

    def connect(self) -> Any:
        """A new connection that notices a dead line by itself."""
        where = {}
        if self.server is not None:
            self.site = where["host"] = address(self.dsn, self.server)
        connection = driver().connect(
            self.dsn, connect_timeout=2, keepalives_idle=1, keepalives_interval=1, keepalives_count=2,
            tcp_user_timeout=2000, **where,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def write(self, connection: Any) -> None:
        """One row, and a line where it was acknowledged."""
        key = f"{self.path}-{os.urandom(6).hex()}"
        site, sent = self.site, time.monotonic()
        cursor = connection.cursor()
        cursor.execute(INSERT, (key,))
        segment, lsn = cursor.fetchone()
        told = {
            "key": key, "path": self.path, "site": site, "sent": sent, "acknowledged": time.monotonic(),
            "timeline": int(segment[:8], 16), "lsn": lsn,
        }  # fmt: skip
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def address(dsn: str, server: str) -> str:
    """Where the name of a ``postgresql://`` URI leads now."""
    from urllib.parse import urlsplit

    import dns.message
    import dns.query

    answer = dns.query.udp(dns.message.make_query(f"{urlsplit(dsn).hostname}.", "A"), server, timeout=1)
    return next(str(item.address) for rrset in answer.answer for item in rrset)


def main() -> None:
    """Keep one writer at work; one that hangs is left to itself and another begun."""
    path, site, dsn = sys.argv[1:4]
    server = sys.argv[4] if len(sys.argv) > 4 else None
    writers = [Writer(path, site, dsn, server)]
    writers[0].start()
    while True:
        time.sleep(0.1)
        writers = [writer for writer in writers if writer.is_alive()]
        current = writers[-1]
        if time.monotonic() - current.began > PATIENCE and len(writers) < MOST_HANGING:
            current.given_up = True
            writers.append(Writer(path, site, dsn, server))
            writers[-1].start()


if __name__ == "__main__":
    main()
