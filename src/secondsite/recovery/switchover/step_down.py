"""The old primary steps down: writers out, the last files, a clean stop, and the proof that nothing is missing."""

from __future__ import annotations

from secondsite.database import equal
from secondsite.database.bounded import apart
from secondsite.database.equal import End
from secondsite.database.lsn import to_int, to_text
from secondsite.database.observe import observe
from secondsite.database.state import Streaming
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.files.engine import demote
from secondsite.recovery import application, pooling
from secondsite.recovery.step import Details
from secondsite.recovery.switchover.context import SwitchoverAct
from secondsite.recovery.switchover.prepare import PULL_SECONDS, pull_all

CLOSE_SECONDS = 30.0  # and as long for each unit as it may take to end
CAUGHT_UP_SECONDS = 10.0
STOP_SECONDS = 60.0
PROOF_SECONDS = 30.0
REOPEN_SECONDS = 300.0
REOPEN_PATIENCE_SECONDS = 60.0


class Close(SwitchoverAct):
    """From here on users are without service. Its undo opens everything again, however far the stop has come."""

    name = "close"
    title = "Stop the application, let nobody write"
    needs = ("checkpoint-before", "files-before")
    there = True
    timeout_seconds = REOPEN_SECONDS + REOPEN_PATIENCE_SECONDS + 30

    async def apply(self, emit: Emit) -> Details:
        context = self._context
        streaming = (await apart(observe, context.cluster)).streaming
        if streaming is not Streaming.STREAMING and not context.midway:
            raise FinalError(
                f"the standby stopped streaming while this was prepared ({streaming})",
                slug="standby-not-streaming",
                host=context.site,
                hint="secondsite readiness",
            )
        seconds = CLOSE_SECONDS + application.STOP_SECONDS * len(context.spec.service.units)
        if context.spec.database.pooler is not None:
            seconds += context.spec.database.pooler.longest_transaction
            # clients that reach the old primary through this site wait as well
            await pooling.hold(context.spec, silent_too=context.midway)
        request = {"generation": context.generation, "midway": context.midway}
        return await context.primary.ask("close", request, seconds=seconds)

    async def undo(self) -> None:
        """Nothing was promoted, so the old primary may go on: it is asked until it says that it does."""
        context = self._context
        await context.primary.insist("reopen", seconds=REOPEN_SECONDS, patience=REOPEN_PATIENCE_SECONDS)
        await pooling.go_on(context.spec, context.site, context.peer.site)


class LastPull(SwitchoverAct):
    """What was written until the writers were stopped. Nothing may be missing: this is no disaster."""

    name = "files"
    title = "Fetch the last files"
    needs = ("close",)
    timeout_seconds = PULL_SECONDS + 30

    async def apply(self, emit: Emit) -> Details:
        if self._context.midway:  # the run that died may have made the copies the originals
            for fileset in self._context.spec.files:
                await demote(fileset)
        return {"sets": await pull_all(self._context, emit)}


class Stop(SwitchoverAct):
    """Only a standby that has everything so far is worth a stop: opening the door again costs less than a start."""

    name = "stop"
    title = "Stop the old primary's database"
    needs = ("close",)
    there = True
    timeout_seconds = CAUGHT_UP_SECONDS + STOP_SECONDS + 10

    async def apply(self, emit: Emit) -> Details:
        flushed = self._context.result("close").get("flushed")
        if flushed is not None:
            await equal.replayed_to(self._context.cluster, to_int(str(flushed)), seconds=CAUGHT_UP_SECONDS)
        return await self._context.primary.ask("stop", seconds=STOP_SECONDS)


class Equal(SwitchoverAct):
    """Both control files name the same last checkpoint. Without this nothing is promoted."""

    name = "equal"
    title = "Prove that nothing is missing here"
    needs = ("stop",)
    timeout_seconds = 2 * PROOF_SECONDS + 10

    async def apply(self, emit: Emit) -> Details:
        told = self._context.result("stop")
        end = End(to_int(str(told["checkpoint"])), int(told["timeline"]), str(told["system_identifier"]))
        replayed = await equal.prove(self._context.cluster, end, seconds=PROOF_SECONDS)
        return {"checkpoint": told["checkpoint"], "timeline": end.timeline, "replayed": to_text(replayed)}
