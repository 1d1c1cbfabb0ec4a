"""Let the standby's database become the primary."""

from __future__ import annotations

from secondsite.database import promote as database
from secondsite.database.lsn import to_text
from secondsite.database.promote import Promoted
from secondsite.events import Emit, Progress
from secondsite.recovery.failover.context import Act, Context
from secondsite.recovery.step import Details
from secondsite.spec import paths

REPLAY_PATIENCE_SECONDS = 30.0
PROMOTE_SECONDS = 300.0


class Drain(Act):
    """Stop receiving, and replay everything that was received.

    A primary that answers is fenced first, because what it writes until then can still be received. From one that
    has been silent for a while nothing comes any more: then both happen at the same time, and the connection that is
    dead anyway is given up after the promotion.
    """

    name = "drain"
    title = "Replay everything received"
    timeout_seconds = 24 * 3600.0  # bounded by progress, not by time

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.needs = ("assess",) if context.peer_known_silent else ("assess", "fence")
        self.only_looks = context.peer_known_silent

    async def apply(self, emit: Emit) -> Details:
        cluster = self._context.cluster
        if self._context.arguments.resume_replay:
            database.resume_replay(cluster)
        if not self._context.peer_known_silent:
            database.detach(cluster)

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
        database.attach_again(self._context.cluster)


class Promote(Act):
    """The point of no return: a new timeline begins here."""

    name = "promote"
    title = "Promote the standby"
    point_of_no_return = True
    timeout_seconds = PROMOTE_SECONDS + 10

    async def check(self) -> Details | None:
        if database.in_recovery(self._context.cluster):
            return None
        self._open()
        return _details(database.look(self._context.cluster))

    async def apply(self, emit: Emit) -> Details:
        promoted = await database.promote(self._context.cluster, timeout_seconds=PROMOTE_SECONDS)
        self._open()
        return _details(promoted)

    def _open(self) -> None:
        paths.RUN.mkdir(exist_ok=True)
        paths.ACTIVE.touch()


class Prove(Act):
    """The new primary commits a row, on a timeline of its own, and offers the slot for the way back.

    Behind the users: it would compete with the start of the application for processor and disk.
    """

    name = "prove"
    title = "Commit a write on the new primary"
    needs = ("promote",)
    follows = ("dns", "application")

    async def apply(self, emit: Emit) -> Details:
        cluster = self._context.cluster
        timeline = int(self._context.result("promote")["timeline"])
        committed = database.prove_writable(cluster, self.site, timeline)
        database.detach(cluster)
        database.create_slot(cluster, slot_name(self._context.peer.site))
        return {"committed_at": committed, "return_slot": slot_name(self._context.peer.site)}


class Checkpoint(Act):
    """When users are served again: let the control file show the new timeline."""

    name = "checkpoint"
    title = "Checkpoint on the new timeline"
    needs = ("prove",)
    essential = False
    timeout_seconds = 1800.0

    async def apply(self, emit: Emit) -> Details:
        await database.checkpoint(self._context.cluster)
        return {}


def slot_name(site: str) -> str:
    """The slot through which ``site`` receives; slots know no dashes (manual 27.2.6)."""
    return f"secondsite_{site.replace('-', '_')}"


def _details(promoted: Promoted) -> Details:
    return {"timeline": promoted.timeline, "switch_point": to_text(promoted.switch_lsn)}
