"""The replication role: may log in and stream, nothing else; its password is stored as a SCRAM verifier made here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from secondsite.converge.resource import Change
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.database.password import Password, matches
from secondsite.database.settings import ROLE
from secondsite.errors import RetryableError
from secondsite.events import Emit

CONNECTIONS = 5  # a receiver, a base backup with its WAL stream, and room for a reconnect
_LOOK = """
SELECT rolreplication AND rolcanlogin,
       rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls
       OR EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid),
       rolconnlimit, coalesce(rolvaliduntil = 'infinity', true), rolpassword
  FROM pg_authid r WHERE rolname = %s
"""
QUIET = (
    "SET log_statement = 'none'",
    "SET log_min_duration_statement = -1",
    "SET log_min_error_statement = 'panic'",
)


@dataclass(frozen=True, slots=True)
class ReplicationRole:
    """The role with exactly these attributes and this password."""

    node: Node
    password: Password

    @property
    def name(self) -> str:
        return f"database role {ROLE}"

    async def plan(self) -> Change | None:
        """What differs. Where the server does not answer yet, the role is taken as missing."""
        try:
            with local(self.node.cluster, step=self.name) as connection:
                row = connection.execute(_LOOK, (ROLE,)).fetchone()
        except RetryableError:
            row = None
        if row is None:
            return Change("create")
        may_stream, may_more, limit, lasting, verifier = row
        wrong = [
            text
            for text, bad in (
                ("may not log in and replicate", not may_stream),
                ("may do more than replicate", may_more),
                (f"connection limit {limit} -> {CONNECTIONS}", limit != CONNECTIONS),
                ("expires", not lasting),
                ("has another password", not matches(verifier, self.password)),
            )
            if bad
        ]
        return Change(", ".join(wrong)) if wrong else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create or correct it; neither the password nor its verifier reaches the server's log."""
        with local(self.node.cluster, step=self.name) as connection:
            for statement in QUIET:
                connection.execute(statement.encode())
            there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone()
            connection.execute(_statement("ALTER" if there else "CREATE", encrypted(connection, self.password, ROLE)))
            memberships = connection.execute(
                "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid"
                " JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = %s",
                (ROLE,),
            ).fetchall()
            for (group,) in memberships:
                connection.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(group), sql.Identifier(ROLE)))


def _statement(verb: str, verifier: str) -> sql.Composed:
    return sql.SQL(
        "{verb} ROLE {role} LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT"
        " CONNECTION LIMIT {limit} VALID UNTIL 'infinity' PASSWORD {verifier}"
    ).format(
        verb=sql.SQL("CREATE" if verb == "CREATE" else "ALTER"),
        role=sql.Identifier(ROLE),
        limit=sql.Literal(CONNECTIONS),
        verifier=sql.Literal(verifier),
    )


def encrypted(connection: psycopg.Connection[Any], password: Password, role: str) -> str:
    """The SCRAM verifier, computed in this process (libpq's PQencryptPasswordConn)."""
    verifier = connection.pgconn.encrypt_password(password.reveal().encode(), role.encode(), b"scram-sha-256")
    return verifier.decode()
