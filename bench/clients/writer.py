"""A client that commits a row as fast as it can, through the service's name; prints when each commit was acknowledged.

    python -m bench.clients.writer DSN NAME_SERVER SECONDS

The name is asked for anew for each connection, as a client with an honest resolver would.
"""

from __future__ import annotations

import sys
import time
import uuid
from urllib.parse import urlsplit

import dns.exception
import dns.message
import dns.query
import psycopg

RETRY_SECONDS = 0.01


def main() -> None:
    """One line a commit: seconds since the epoch."""
    dsn, server, seconds = urlsplit(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    end, mark, number = time.time() + seconds, uuid.uuid4().hex, 0
    connection: psycopg.Connection[tuple[object, ...]] | None = None
    while time.time() < end:
        number += 1
        try:
            if connection is None:
                connection = psycopg.connect(
                    host=address(str(dsn.hostname), server), port=dsn.port or 5432, user=dsn.username,
                    password=dsn.password, dbname=dsn.path[1:], connect_timeout=2, autocommit=True,
                )  # fmt: skip
            connection.execute(
                "INSERT INTO orders (key, item, quantity) VALUES (%s, 'bench', 1)", (f"{mark}-{number}",)
            )
            print(f"{time.time():.6f}", flush=True)
        except (psycopg.Error, OSError, dns.exception.DNSException):
            if connection is not None:
                connection.close()
            connection = None
            time.sleep(RETRY_SECONDS)


def address(name: str, server: str) -> str:
    """Where the name leads now."""
    answer = dns.query.udp(dns.message.make_query(f"{name}.", "A"), server, timeout=1)
    return next(str(item.address) for rrset in answer.answer for item in rrset)


if __name__ == "__main__":
    main()
