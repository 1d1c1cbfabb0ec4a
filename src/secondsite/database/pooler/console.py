"""PgBouncer's console, over its unix socket, as the user that PgBouncer runs as.

That user may log in as ``pgbouncer`` without a password (pgbouncer(1), "Admin console"), so no password and no line of
``admin_users`` is needed. The socket's owner is that user.
"""

from __future__ import annotations

import contextlib
import pwd
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from secondsite.database.connect import as_user
from secondsite.database.pooler.wire import Line, Refused
from secondsite.errors import FinalError, RetryableError
from secondsite.spec import Pooler

ANSWER_SECONDS = 3.0
_US = "pgbouncer"  # both the user and the database of the console


def socket_of(pooler: Pooler) -> Path:
    """Where it listens for this host."""
    return Path(pooler.socket) / f".s.PGSQL.{pooler.port}"


@contextlib.contextmanager
def console(pooler: Pooler, *, seconds: float = ANSWER_SECONDS) -> Iterator[Line]:
    """A line to the console, closed at the end; every answer within ``seconds`` from now on.

    Raises RetryableError (``pooler-unreachable``) where PgBouncer does not answer, FinalError (``pooler-refused``)
    where it says no. Blocks: for a thread.
    """
    try:
        with Line(_connect(pooler), time.monotonic() + seconds) as line:
            line.greet(_US, _US)
            line.until_ready()
            yield line
    except Refused as no:
        raise FinalError(
            f"PgBouncer refused: {no}", slug="pooler-refused", hint=f"journalctl -u {pooler.unit} -n 50"
        ) from no
    except OSError as silent:  # a TimeoutError is one
        raise RetryableError(
            f"PgBouncer does not answer at {socket_of(pooler)}: {silent.strerror or silent}",
            slug="pooler-unreachable",
            hint=f"systemctl status {pooler.unit}",
        ) from silent


def _connect(pooler: Pooler) -> socket.socket:
    path = socket_of(pooler)
    owner = pwd.getpwuid(path.stat().st_uid).pw_name
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(ANSWER_SECONDS)
        with as_user(owner):
            connected.connect(str(path))
    except BaseException:
        connected.close()
        raise
    return connected
