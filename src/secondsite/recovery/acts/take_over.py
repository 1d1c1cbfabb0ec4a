"""The standby's database becomes the primary, proves it, and keeps WAL for the site that will follow it."""

from __future__ import annotations

from dataclasses import asdict

from secondsite.database import door
from secondsite.database import promote as database
from secondsite.database.bounded import apart
from secondsite.database.lsn import to_text
from secondsite.database.promote import Promoted
from secondsite.database.slot import slot_name
from secondsite.errors import FinalError, HalfwayError, SecondsiteError
from secondsite.events import Emit
from secondsite.recovery.acts.context import Act
from secondsite.recovery.promoted import open_again
from secondsite.recovery.step import Details
from secondsite.spec import paths

PROMOTE_SECONDS = 300.0


class Promote(Act):
    """The point of no return: a new timeline begins here."""

    name = "promote"
    title = "Promote the standby"
    point_of_no_return = True
    timeout_seconds = PROMOTE_SECONDS + 10

    async def check(self) -> Details | None:
        if not await database.under_way(self._context.cluster, timeout_seconds=PROMOTE_SECONDS):
            return None
        await apart(self._open)
        return _details(await apart(database.look, self._context.cluster))

    async def apply(self, emit: Emit) -> Details:
        return await self.opened(await database.promote(self._context.cluster, timeout_seconds=PROMOTE_SECONDS))

    async def opened(self, promoted: Promoted) -> Details:
        """It is promoted, so it is let in."""
        await apart(self._open)
        return _details(promoted)

    async def again(self, before: Details, emit: Emit) -> Details:
        """The journal is the decision: what was promoted, and is only held read-only since, is opened again."""
        context, seen = self._context, await self.check()
        if seen is not None:
            return {**seen, **_first(before)}
        timeline, failed = int(before.get("timeline") or 0), None
        try:
            await open_again(
                context.spec, context.peer, context.cluster, context.clock, site=self.site, timeline=timeline
            )
        except HalfwayError:
            raise
        except SecondsiteError as why:
            failed = why  # it may be the application alone, which has a step of its own
        seen = await self.check()
        if seen is None:
            raise failed or FinalError(
                f"{self.site} was opened again, and its database is still in recovery",
                slug="promotion-gone",
                hint=f"journalctl -u {context.cluster.unit} -n 50",
            )
        return {**seen, **_first(before)}

    def _open(self) -> None:
        for old in (paths.FENCED, paths.ADMITTED):  # what was decided about this site before it took over
            old.unlink(missing_ok=True)
        paths.RUN.mkdir(exist_ok=True)
        paths.ACTIVE.touch()
        paths.TAKING_OVER.unlink(missing_ok=True)  # from now on the generation tells
        if door.unlock(self._context.cluster):  # left over from a switchover that this site once stepped down in
            door.reload(self._context.cluster)


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
        committed = await apart(database.prove_writable, cluster, self.site, timeline)
        slot = slot_name(self._context.peer.site)
        await apart(database.create_slot, cluster, slot)
        return {"committed_at": committed, "return_slot": slot, **await self._undecided()}

    async def _undecided(self) -> Details:
        """The prepared transactions that came along, for a person. The users are served without this answer, so where
        there is none that is told, and the step has done its work."""
        next_xid = self._context.result("promote").get("next_xid")
        try:
            found = await apart(database.prepared_transactions, self._context.cluster, next_xid)
        except SecondsiteError as why:
            return {"prepared_transactions": None, "prepared_unread": why.message}
        return {"prepared_transactions": [asdict(one) for one in found]} if found else {}


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


def _details(promoted: Promoted) -> Details:
    known = {} if promoted.next_xid is None else {"next_xid": promoted.next_xid}
    return {"timeline": promoted.timeline, "switch_point": to_text(promoted.switch_lsn), **known}


def _first(before: Details) -> Details:
    """Of what the step had left earlier, that which a later look finds changed: the application works meanwhile."""
    return {key: before[key] for key in ("next_xid",) if key in before}
