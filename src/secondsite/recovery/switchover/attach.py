"""The old primary becomes the standby. Whatever fails here, the service runs: it is told, and gone on with later."""

from __future__ import annotations

import asyncio

from secondsite.converge.resource import Change
from secondsite.database.bounded import asking
from secondsite.database.connect import elsewhere
from secondsite.database.lsn import to_int
from secondsite.database.node import Node
from secondsite.database.slot import drop_others, slot_name
from secondsite.database.synchronous import Synchronous
from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.events import Emit
from secondsite.recovery.acts.serving import Serving
from secondsite.recovery.acts.take_over import Prove
from secondsite.recovery.step import Details
from secondsite.recovery.switchover.context import SwitchoverAct, SwitchoverContext

FOLLOW_SECONDS = 200.0
PATIENCE_SECONDS = 15.0  # users are served, so a host that is just booting is waited for
SEEN_SECONDS = 30.0
POLL_SECONDS = 0.05
_FOLLOWER = """
SELECT r.state, r.replay_lsn::text, s.active FROM pg_stat_replication r
  JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE r.application_name = %s AND s.slot_name = %s
"""


class ProveNext(Prove):
    """The same, and the new timeline is the very next one and begins behind everything that was proven equal."""

    _context: SwitchoverContext

    async def apply(self, emit: Emit) -> Details:
        promoted, proven = self._context.result("promote"), self._context.result("equal")
        ours, next_one = int(promoted["timeline"]), int(proven["timeline"]) + 1
        if ours != next_one or to_int(str(promoted["switch_point"])) < to_int(str(proven["replayed"])):
            raise FinalError(
                f"timeline {ours} begins at {promoted['switch_point']}; timeline {next_one} from"
                f" {proven['replayed']} on was expected",
                slug="unexpected-timeline",
                hint="secondsite journal; both data folders are as they were, touch neither",
            )
        return await super().apply(emit)


class Attach(SwitchoverAct):
    """It streams through the slot that was made for it, seen from both ends, and pulls the files from here."""

    name = "attach"
    title = "Make the old primary the standby"
    needs = ("prove",)
    there = True
    timeout_seconds = FOLLOW_SECONDS + PATIENCE_SECONDS + SEEN_SECONDS + 10

    def __init__(self, context: SwitchoverContext) -> None:
        super().__init__(context)
        if context.spec.database.pooler is not None:
            self.follows = ("pooler",)  # that site does one thing at a time, and clients wait for this one

    async def holds(self) -> Details | None:
        async with elsewhere(self._context.cluster, step=self.name) as connection:
            row = (
                await asking(connection, connection.execute, _FOLLOWER, (self.site, slot_name(self.site)))
            ).fetchone()
        return {"replayed": row[1]} if row is not None and row[0] == "streaming" and row[2] else None

    async def apply(self, emit: Emit) -> Details:
        promoted = self._context.result("promote")
        state = self._context.result("assess").get("database", {})
        request = {
            "timeline": promoted["timeline"],
            "switch_point": promoted["switch_point"],
            "system_identifier": state.get("system_identifier"),
        }
        try:
            return await self._context.primary.insist(
                "follow", request, seconds=FOLLOW_SECONDS, patience=PATIENCE_SECONDS
            )
        except SecondsiteError as failed:
            first = failed.hint or f"see to it that {self.site} answers"
            failed.hint = f"{first}; then: {self._context.go_on}"
            raise

    async def verify(self) -> Details:
        """Seen from here, with the old site's own old slots of ours gone: they would pin WAL for nobody."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SEEN_SECONDS
        slot = slot_name(self.site)
        async with elsewhere(self._context.cluster, step=self.name) as connection:
            while True:
                row = (await asking(connection, connection.execute, _FOLLOWER, (self.site, slot))).fetchone()
                if row is not None and row[0] == "streaming" and row[2]:
                    dropped = await asking(connection, drop_others, connection, keep=slot)
                    return {"replayed": row[1], "dropped_here": list(dropped)}
                if loop.time() > deadline:
                    raise RetryableError(
                        f"{self.site} is not seen streaming through the slot {slot}: {row[0] if row else 'nobody'}",
                        slug="standby-not-streaming",
                        hint=self._context.go_on,
                    )
                await asyncio.sleep(POLL_SECONDS)


class CommitMode(SwitchoverAct):
    """Commits wait for the standby where the file says so, and only now that it streams: they would hang before."""

    name = "commit-mode"
    title = "Let commits wait as the file says"
    needs = ("attach",)

    async def check(self) -> Details | None:
        return {"mode": self._context.spec.database.mode} if await self._change() is None else None

    async def apply(self, emit: Emit) -> Details:
        change = await self._change()
        if change is not None:
            await self._resource().apply(change, emit)
        return {"mode": self._context.spec.database.mode}

    async def _change(self) -> Change | None:
        return await self._resource().differs()

    def _resource(self) -> Synchronous:
        spec = self._context.spec
        return Synchronous(Node.of(spec), self._context.peer.site, wanted=spec.database.mode == "sync")


class ServingWithStandby(Serving):
    """Looked at when the old primary follows, which may take minutes."""

    follows = (*Serving.follows, "commit-mode")
