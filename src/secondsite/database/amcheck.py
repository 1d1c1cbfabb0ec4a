"""The extension amcheck in every database, where the file asks for it: a standby cannot create it itself."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from secondsite.converge.resource import Change
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.database.verify.amcheck import installed
from secondsite.database.verify.catalogue import databases
from secondsite.errors import RetryableError
from secondsite.events import Emit


@dataclass(frozen=True, slots=True)
class Amcheck:
    """The extension wherever one can connect to; it reaches the standby by replication. Never taken away again."""

    node: Node
    name: str = "database extension amcheck"

    async def plan(self) -> Change | None:
        """Where it is missing."""
        try:
            missing = self._missing()
        except RetryableError:
            return Change("create")
        return Change(f"create in {', '.join(missing)}") if missing else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Create it there. Raises FinalError (``database-refused``) where its package is not installed."""
        for database in self._missing():
            with local(self.node.cluster, database, step=self.name) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")

    def _missing(self) -> list[str]:
        try:
            return [one for one in databases(self.node.cluster) if not installed(self.node.cluster, one)]
        except psycopg.OperationalError as lost:
            raise RetryableError(f"{self.node.cluster} stopped answering", slug="database-unreachable") from lost
