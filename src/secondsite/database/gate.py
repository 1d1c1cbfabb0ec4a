"""Refuse before anything is touched: the first resource of each list."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.converge.resource import Change
from secondsite.database.facts import Facts
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.seed import look
from secondsite.database.situation import decide
from secondsite.database.state import Role
from secondsite.errors import FinalError
from secondsite.events import Emit


@dataclass(frozen=True, slots=True)
class PrimaryGate:
    """A running primary is here; its settings are ours to change."""

    node: Node
    site: str
    name: str = "running primary database"

    async def plan(self) -> Change | None:
        """Never a change. Raises FinalError (``not-primary``)."""
        state = observe(self.node.cluster)
        if state.role is Role.PRIMARY:
            return None
        raise FinalError(
            f"{self.node.cluster} is {state.role} here{f': {state.reason}' if state.reason else ''}; the primary has to"
            " run before a standby can be made from it",
            slug="not-primary",
            host=self.site,
            step=self.name,
            hint=f"pg_lsclusters; systemctl start {self.node.cluster.unit}",
        )

    async def apply(self, change: Change, emit: Emit) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class StandbyGate:
    """What stands here may become the standby: the same decision the seed takes, before settings are touched."""

    node: Node
    facts: Facts
    replace: bool
    name: str = "place for the standby database"

    async def plan(self) -> Change | None:
        """Never a change. Raises what ``situation.decide`` raises."""
        decide(await look(self.node, self.facts.primary, address=self.facts.own_address, replace=self.replace))
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Nothing to do."""
