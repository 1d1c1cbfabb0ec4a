"""The role as which tables are read: it may read all of them, and nothing else.

A table's owner decides what runs when the table is read: casts, checks of domains, expressions of indexes (which the
planner evaluates), views put in a table's place. All of that runs with the rights of whoever reads. A superuser's
session stays one whatever ``SET ROLE`` says, because what is called may say ``RESET ROLE``: so this is a login of its
own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from secondsite.converge.resource import Change
from secondsite.database import passfile
from secondsite.database.bounded import Bounded
from secondsite.database.cluster import Cluster
from secondsite.database.connect import connect, local
from secondsite.database.node import PASSFILE, Node
from secondsite.database.password import Password, matches
from secondsite.database.role import QUIET, encrypted
from secondsite.database.settings import READER_ROLE
from secondsite.errors import RetryableError
from secondsite.events import Emit

CONNECTIONS = 10
HINT = f"`secondsite apply` creates the role {READER_ROLE} and lets it in"
# Row security would hide rows from a comparison, and its policies are the owner's code too.
_ATTRIBUTES = (
    "LOGIN INHERIT BYPASSRLS NOSUPERUSER NOREPLICATION NOCREATEDB NOCREATEROLE"
    f" CONNECTION LIMIT {CONNECTIONS} VALID UNTIL 'infinity'"
)
_LOOK = """
SELECT rolcanlogin AND rolinherit AND rolbypassrls AND rolconnlimit = %s AND coalesce(rolvaliduntil = 'infinity', true)
       AND NOT (rolsuper OR rolreplication OR rolcreatedb OR rolcreaterole),
       ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid), rolpassword
  FROM pg_authid r WHERE rolname = %s
"""
_SHUT_OUT = """
SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate
   AND NOT has_database_privilege(%s, oid, 'CONNECT') ORDER BY 1
"""
_GROUP = "pg_read_all_data"


@contextmanager
def reader(cluster: Cluster, database: str = "postgres", *, step: str, secret: Path = PASSFILE) -> Iterator[Bounded]:
    """An autocommit connection as the reading role; closed at the end. psycopg.Error is the caller's.

    secret: the file of this host that holds the password. Raises RetryableError (``database-unreachable``).
    """
    known = passfile.read(secret)
    password = known.reveal() if known else None
    connection = connect(cluster, database, step=step, user=READER_ROLE, password=password, hint=HINT)
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class ReaderRole:
    """The role with exactly these rights and this password, let into every database."""

    node: Node
    password: Password

    @property
    def name(self) -> str:
        return f"database role {READER_ROLE}"

    async def plan(self) -> Change | None:
        """What differs. Where the server does not answer yet, the role is taken as missing."""
        try:
            with local(self.node.cluster, step=self.name) as connection:
                row = connection.execute(_LOOK, (CONNECTIONS, READER_ROLE)).fetchone()
                shut = _shut_out(connection) if row else []
        except RetryableError:
            row, shut = None, []
        if row is None:
            return Change("create")
        if not row[0] or row[1] != [_GROUP]:
            return Change("may do other than read")
        if not matches(row[2], self.password):
            return Change("has another password")
        return Change(f"let it into {', '.join(shut)}") if shut else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create or correct it; neither the password nor its verifier reaches the server's log."""
        role = sql.Identifier(READER_ROLE)
        with local(self.node.cluster, step=self.name) as connection:
            for statement in QUIET:
                connection.execute(statement.encode())
            there = connection.execute(_LOOK, (CONNECTIONS, READER_ROLE)).fetchone()
            connection.execute(
                sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                    sql.SQL("ALTER" if there else "CREATE"), role, sql.SQL(_ATTRIBUTES),
                    sql.Literal(encrypted(connection, self.password, READER_ROLE)),
                )
            )  # fmt: skip
            for group in there[1] if there else ():
                if group != _GROUP:
                    connection.execute(sql.SQL("REVOKE {} FROM {}").format(sql.SQL(group), role))
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(_GROUP), role))
            connection.execute(sql.SQL("ALTER ROLE {} SET lc_messages = 'C'").format(role))
            for database in _shut_out(connection):
                connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role))


def _shut_out(connection: psycopg.Connection[Any]) -> list[str]:
    return [str(name) for (name,) in connection.execute(_SHUT_OUT, (READER_ROLE,)).fetchall()]
