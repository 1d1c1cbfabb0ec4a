"""What every step of a failover knows besides: what the operator said, and whether the peer is known to be silent."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.recovery import fence
from secondsite.recovery.acts.context import Act, Context
from secondsite.recovery.failover.knock import Knock
from secondsite.recovery.failover.sight import Kept, Sight

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
class FailoverContext(Context):
    """The failover's world. fenced_before: what earlier runs of this procedure have tried to fence the old primary with
    and nobody has taken back; None where none has begun to. knock: at the doors of a peer known to be silent.
    kept: the agent's connection to the database. round_trip: seconds through the tunnel when it was last measured."""

    arguments: FailoverArguments
    fenced_before: tuple[fence.Attempt, ...] | None = None
    knock: Knock | None = None
    kept: Kept | None = None
    round_trip: float | None = None

    @property
    def sight(self) -> Sight:
        """The standby's database at this moment."""
        return Sight(self.cluster, self.kept)

    @property
    def peer_known_silent(self) -> bool:
        """Has this site's agent asked the peer for a while and heard nothing?"""
        since = self.arguments.peer_silent_since
        return since is not None and self.clock.now().timestamp() - since >= KNOWN_SILENT_SECONDS


class FailoverAct(Act):
    """A step of a failover alone."""

    _context: FailoverContext

    def __init__(self, context: FailoverContext) -> None:
        super().__init__(context)
