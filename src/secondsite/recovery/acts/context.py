"""What every step of a procedure knows: the file, this site, the peer, and what earlier steps have left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secondsite.clock import Clock
from secondsite.database.cluster import Cluster
from secondsite.recovery.peer import Peer
from secondsite.recovery.step import Details, Step
from secondsite.spec import Spec


@dataclass(frozen=True, slots=True)
class Context:
    """A procedure's world at the site that takes over; a procedure adds what its operator asked for.

    procedure: its name, as the command is typed. overwrite_dns: replace a record somebody else has changed.
    results: details of the steps that have ended, by step name.
    """

    procedure: str
    spec: Spec
    site: str
    peer: Peer
    cluster: Cluster
    clock: Clock
    procedure_id: str
    overwrite_dns: bool
    results: Callable[[], Mapping[str, Details]]

    def result(self, step: str) -> Details:
        """What a step left; empty where it left nothing."""
        return self.results().get(step, {})

    @property
    def go_on(self) -> str:
        """The command that goes on with this procedure, wherever it is given."""
        return f"secondsite {self.procedure} --resume --to {self.site}"


class Act(Step):
    """A step that works at the site that takes over, unless it says otherwise."""

    def __init__(self, context: Context) -> None:
        super().__init__(context.site)
        self._context = context
