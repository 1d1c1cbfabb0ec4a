"""Let the clients wait, and let them go on, wherever the primary is by then."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.database.pooler.console import console, socket_of
from secondsite.database.pooler.include import HERE, include_file, included, render
from secondsite.database.pooler.wire import Line, Refused
from secondsite.database.settings import REWIND_ROLE
from secondsite.errors import FinalError, RetryableError
from secondsite.spec import Pooler, Spec

KNOCK_SECONDS = 1.0
GONE_ON_SECONDS = 1.0
POLL_SECONDS = 0.005
CANNOT_CONNECT_NOW = "57P03"  # it starts up, shuts down or recovers (manual, appendix A)
NOT_ADMITTED = "28000"  # by a line of pg_hba.conf, or for want of one: the code is the same
REJECTED = "pg_hba.conf"  # how the server's words begin where a line rejects, in all its languages but Korean
KNOCKS_HERE = "secondsite_knocks"  # nobody's name; what is asked for is read before the role is looked for
RETRY = "server_login_retry"  # seconds for which PgBouncer does not try again where it has just failed


def pause(pooler: Pooler) -> float:
    """No client's statement reaches the database from now on, and every server connection is closed; seconds waited.

    Running transactions may end first. Raises RetryableError (``pooler-busy``) where one lasts too long, with every
    client let go on again. Blocks: for a thread.
    """
    began = time.monotonic()
    with console(pooler, seconds=pooler.longest_transaction) as line:
        try:
            for name in pooler.databases:
                line.ask(f'PAUSE "{name}"')
        except TimeoutError as busy:
            _unpause(pooler)
            raise RetryableError(
                f"a transaction through PgBouncer did not end within {pooler.longest_transaction:g} s",
                slug="pooler-busy",
                hint="SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start LIMIT 5",
            ) from busy
        except BaseException:
            _unpause(pooler)
            raise
    return time.monotonic() - began


def resume(spec: Spec, pooler: Pooler, address: str) -> int:
    """Send every client to ``address`` and let it go on; how many connections to elsewhere had to be cut.

    A client in the middle of a transaction on a server that is gone would wait for ever, so it is sent away. Raises
    what ``console`` raises, and FinalError (``pooler-not-ours``) where PgBouncer does not follow our file. Blocks.
    """
    if not included(Path(pooler.config)):  # a reload would forget the databases, and with them whoever waits
        raise FinalError(
            f"{pooler.config} does not include our file any more",
            slug="pooler-not-ours",
            hint="secondsite apply puts the line back; then go on",
        )
    point(spec, pooler, address)
    with console(pooler) as line:
        line.ask("RELOAD")
        rows = {row["name"]: row for row in line.ask("SHOW DATABASES")}
        wrong = [name for name in pooler.databases if rows.get(name, {}).get("host") != address]
        if wrong:
            raise FinalError(
                f"PgBouncer does not send {', '.join(wrong)} to {address} although our file says so",
                slug="pooler-not-ours",
                hint=f"secondsite apply; see {pooler.config}",
            )
        cut = _cut(line, pooler, address)
        before = next(row["value"] for row in line.ask("SHOW CONFIG") if row["key"] == RETRY)
        line.ask(f"SET {RETRY} = '0'")  # it may have failed at the old address a moment ago
        try:
            _let_go(line, pooler)
            _until_nobody_waits(line, pooler)
        finally:
            line.ask(f"SET {RETRY} = '{before}'")
    return cut


def point(spec: Spec, pooler: Pooler, address: str) -> bool:
    """Our file names ``address``; whether it did not. PgBouncer learns of it by RELOAD."""
    path, wanted = include_file(Path(pooler.config)), render(spec, address).encode()
    if path.exists() and path.read_bytes() == wanted:
        return False
    owner = socket_of(pooler).stat() if socket_of(pooler).exists() else Path(pooler.config).stat()
    atomically(path, wanted, mode=0o640, owner=owner.st_uid, group=owner.st_gid)
    return True


@dataclass(frozen=True, slots=True)
class Shut:
    """Why nobody is let in yet. by_line: a line of pg_hba.conf says so, as our closed door does."""

    told: str
    by_line: bool = False


def admits(address: str, port: int, database: str) -> Shut | None:
    """Does the database at ``address`` serve clients from this host already? None if yes, else what was seen.

    It is asked up to where a password is wanted: pg_hba.conf is read before that (manual 21.1). We are not PgBouncer,
    so lines that are as narrow as its own role, or want TLS, refuse us: a server that says so serves. At the other site
    our own block has a line for a role of ours, above all others, so that only our closed door refuses it.
    """
    user, name = (KNOCKS_HERE, database) if address == HERE else (REWIND_ROLE, "postgres")
    try:
        with (
            socket.create_connection((address, port), timeout=KNOCK_SECONDS) as connected,
            Line(connected, time.monotonic() + KNOCK_SECONDS) as line,
        ):
            line.greet(user, name)
    except Refused as no:
        by_line = no.code == NOT_ADMITTED and (address != HERE or str(no).startswith(REJECTED))
        return Shut(str(no), by_line) if by_line or no.code == CANNOT_CONNECT_NOW else None
    except OSError as silent:
        return Shut(silent.strerror or str(silent))
    return None


def _cut(line: Line, pooler: Pooler, address: str) -> int:
    stuck = [
        row["database"]
        for row in line.ask("SHOW SERVERS")
        if row["database"] in pooler.databases and row["addr"] != address and row["state"] == "active"
    ]
    for name in dict.fromkeys(stuck):
        line.ask(f'KILL "{name}"')  # which pauses it, too
    return len(stuck)


def _let_go(line: Line, pooler: Pooler) -> None:
    paused = [row["name"] for row in line.ask("SHOW DATABASES") if row["paused"] == "1"]
    for name in pooler.databases:
        if name in paused:
            line.ask(f'RESUME "{name}"')


def _until_nobody_waits(line: Line, pooler: Pooler) -> None:
    """As long as nobody is served, PgBouncer must try again at once; a busy pool always has somebody who waits."""
    deadline = time.monotonic() + GONE_ON_SECONDS
    while time.monotonic() < deadline:
        pools = [row for row in line.ask("SHOW POOLS") if row["database"] in pooler.databases]
        if all(row["cl_waiting"] == "0" or row["sv_active"] != "0" for row in pools):
            return
        time.sleep(POLL_SECONDS)


def _unpause(pooler: Pooler) -> None:
    with console(pooler) as line:
        _let_go(line, pooler)
