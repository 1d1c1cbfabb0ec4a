"""The role with which a former primary reads what it needs to be rewound: there only while that lasts.

It may log in to ``postgres`` from the peer's tunnel address and call four functions that read the server's files
(manual, pg_rewind: Notes), nothing else. pg_rewind takes the fork from this server's control file, so that has to show
the timeline of the promotion first: hence the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from secondsite.converge.resource import Change
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.database.password import Password, matches
from secondsite.database.role import QUIET, encrypted
from secondsite.database.settings import REWIND_ROLE
from secondsite.errors import RetryableError
from secondsite.events import Emit

CHECKPOINT_SECONDS = 1800
FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
_LOOK = "SELECT rolpassword, rolcanlogin FROM pg_authid WHERE rolname = %s"


@dataclass(frozen=True, slots=True)
class RewindRole:
    """The role on this primary. wanted: a rewind is about to begin; else it is removed."""

    node: Node
    password: Password
    wanted: bool

    @property
    def name(self) -> str:
        return f"database role {REWIND_ROLE}"

    async def plan(self) -> Change | None:
        """What differs. Where the server does not answer yet, the role is taken as missing."""
        try:
            with local(self.node.cluster, step=self.name) as connection:
                row = connection.execute(_LOOK, (REWIND_ROLE,)).fetchone()
        except RetryableError:
            row = None
        if not self.wanted:
            return Change("remove: nothing is being rewound") if row else None
        if row and row[1] and matches(row[0], self.password):
            return None
        return Change("create, until the old primary is rewound")

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create or remove it; on creation let the control file show the current timeline."""
        role = sql.Identifier(REWIND_ROLE)
        with local(self.node.cluster, step=self.name) as connection:
            for statement in QUIET:
                connection.execute(statement.encode())
            if connection.execute(_LOOK, (REWIND_ROLE,)).fetchone():
                connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
                connection.execute(sql.SQL("DROP ROLE {}").format(role))
            if not self.wanted:
                return
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOINHERIT CONNECTION LIMIT 5 PASSWORD {}").format(
                    role, sql.Literal(encrypted(connection, self.password, REWIND_ROLE))
                )
            )
            for function in FUNCTIONS:
                connection.execute(
                    sql.SQL("GRANT EXECUTE ON FUNCTION pg_catalog.{} TO {}").format(sql.SQL(function), role)
                )
            connection.allow(CHECKPOINT_SECONDS)
            connection.execute("CHECKPOINT")
