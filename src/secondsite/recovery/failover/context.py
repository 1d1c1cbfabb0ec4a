"""What every step of a failover knows: the file, this site, the peer, and what the operator said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from secondsite.clock import Clock
from secondsite.database.cluster import Cluster
from secondsite.recovery.peer import Peer
from secondsite.recovery.step import Details, Step
from secondsite.spec import Spec

KNOWN_SILENT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class FailoverArguments:
    """What the operator asked for.

    to: the site that takes over. commanded_at: when the command was given (RFC 3339); time to recovery counts from
    there. accept_unconfirmed_fence: the operator knows that the old primary may still be writing. resume_replay:
    promote although replay was paused by hand. overwrite_dns: replace a record somebody else has changed.
    peer_silent_since: unix seconds since when this site's agent has not heard the peer, if it is known. approved_by: by
    whose leave a rehearsal does this.
    """

    to: str
    commanded_at: str
    accept_unconfirmed_fence: bool = False
    reason: str = ""
    resume_replay: bool = False
    overwrite_dns: bool = False
    peer_silent_since: float | None = None
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """The failover's world. results: details of the steps that have ended, by step name."""

    spec: Spec
    site: str
    peer: Peer
    cluster: Cluster
    clock: Clock
    procedure_id: str
    arguments: FailoverArguments
    results: Callable[[], Mapping[str, Details]]

    @property
    def peer_known_silent(self) -> bool:
        """Has this site's agent asked the peer for a while and heard nothing?"""
        since = self.arguments.peer_silent_since
        return since is not None and self.clock.now().timestamp() - since >= KNOWN_SILENT_SECONDS

    def result(self, step: str) -> Details:
        """What a step left; empty where it left nothing."""
        return self.results().get(step, {})


class Act(Step):
    """A step of a failover: it works at the site that takes over, unless it says otherwise."""

    def __init__(self, context: Context) -> None:
        super().__init__(context.site)
        self._context = context
