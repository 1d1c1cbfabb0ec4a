"""Let the standby's database become the primary although the old one is gone."""

from __future__ import annotations

from secondsite.database import promote as database
from secondsite.database.bounded import apart
from secondsite.database.lsn import to_text
from secondsite.events import Emit, Progress
from secondsite.recovery.acts.serving import Serving
from secondsite.recovery.acts.take_over import Prove
from secondsite.recovery.failover.context import FailoverAct, FailoverContext
from secondsite.recovery.step import Details

REPLAY_PATIENCE_SECONDS = 30.0


class Drain(FailoverAct):
    """Stop receiving, and replay everything that was received.

    A primary that answers is fenced first, because what it writes until then can still be received. From one that
    has been silent for a while nothing comes any more: then both happen at the same time, and the connection that is
    dead anyway is given up after the promotion.
    """

    name = "drain"
    title = "Replay everything received"
    timeout_seconds = 24 * 3600.0  # bounded by progress, not by time

    def __init__(self, context: FailoverContext) -> None:
        super().__init__(context)
        self.needs = ("assess",) if context.peer_known_silent else ("assess", "fence")
        self.only_looks = context.peer_known_silent

    async def apply(self, emit: Emit) -> Details:
        cluster = self._context.cluster
        if self._context.arguments.resume_replay:
            await apart(database.resume_replay, cluster)
        if not self._context.peer_known_silent:
            await apart(database.detach, cluster)

        def tell(replayed: int, received: int) -> None:
            if received - replayed > 1024 * 1024:
                emit(Progress("replay", replayed, received, site=self.site))

        reached = await database.drain(
            cluster,
            patience_seconds=REPLAY_PATIENCE_SECONDS,
            progress=tell,
            receiver_gone=not self._context.peer_known_silent,
        )
        return {"reached": to_text(reached)}

    async def undo(self) -> None:
        await apart(database.attach_again, self._context.cluster)


class ProveAlone(Prove):
    """The same, and it stays cut off from the old primary over every restart."""

    async def apply(self, emit: Emit) -> Details:
        details = await super().apply(emit)
        await apart(database.detach, self._context.cluster)
        return details


class ServingAlone(Serving):
    """Looked at behind the last word to the old site."""

    follows = (*Serving.follows, "fence-again")
