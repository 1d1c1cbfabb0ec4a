"""Everything that can be done while users are still served, so that they are without service for as short as may be."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from secondsite.database import promote as database
from secondsite.errors import FinalError
from secondsite.events import Emit, Note
from secondsite.files.choice import pull
from secondsite.files.rsync.pull import PullResult
from secondsite.recovery.step import Details
from secondsite.recovery.switchover.context import SwitchoverAct, SwitchoverContext
from secondsite.recovery.switchover.gate import Fault, faults, refusal, silent_poolers
from secondsite.recovery.switchover.look import look
from secondsite.spec import FileSet

CHECKPOINT_SECONDS = 1800.0
PULL_SECONDS = 3600.0


class Assess(SwitchoverAct):
    """Look at both sites; refuse with every fault at once."""

    name = "assess"
    title = "See that nothing stands against it"
    only_looks = True

    def __init__(self, context: SwitchoverContext) -> None:
        super().__init__(context)
        self.faults: tuple[Fault, ...] = ()

    async def apply(self, emit: Emit) -> Details:
        found = await look(self._context)
        self.faults = faults(found)
        refused = refusal(self.faults)
        if refused is not None:
            raise refused.error(found.site)
        for site, told in silent_poolers(found):  # here only where the writers were stopped before
            emit(Note(told, site, "warning"))
        ttl = max((answer.ttl or 0 for record in found.records for answer in record.answers), default=0)
        if ttl:
            emit(Note(f"resolvers may send users to {found.peer} for up to {ttl} s after the move", self.site))
        return {
            "database": {**asdict(found.state), "settings": None},
            "primary": {"version": found.there.version, "flushed": found.there.database.flushed},
            "dns_ttl_seconds": ttl or None,
            "midway": found.midway,
        }


class CheckpointBefore(SwitchoverAct):
    """What is written now need not be written while nobody is served: the primary first, so that the standby's can
    build on it."""

    name = "checkpoint-before"
    title = "Checkpoint both databases"
    needs = ("assess",)
    timeout_seconds = 2 * CHECKPOINT_SECONDS

    async def apply(self, emit: Emit) -> Details:
        if not self._context.midway:
            await self._context.primary.ask("checkpoint", seconds=CHECKPOINT_SECONDS)
        await database.checkpoint(self._context.cluster)
        return {}


class FilesBefore(SwitchoverAct):
    """Fetch everything that is there now, so that little is left for the last pull; and see that pulling works."""

    name = "files-before"
    title = "Fetch the files so far"
    needs = ("assess",)
    timeout_seconds = PULL_SECONDS + 30

    async def apply(self, emit: Emit) -> Details:
        if self._context.midway:
            return {"sets": {}}  # nobody is served: there is only the last pull to wait for
        return {"sets": await pull_all(self._context, emit)}


async def pull_all(context: SwitchoverContext, emit: Emit) -> dict[str, object]:
    """Every file set, at the same time; what each pull did. Raises FinalError (``files-incomplete``)."""
    spec = context.spec

    async def one(fileset: FileSet) -> PullResult:
        return await pull(spec, fileset, context.peer.address, timeout=PULL_SECONDS, emit=emit)

    results = await asyncio.gather(*(one(fileset) for fileset in spec.files))
    done = {fileset.name: result for fileset, result in zip(spec.files, results, strict=True)}
    missing = [f"{name}: {result.reason}" for name, result in done.items() if not result.complete]
    if missing:
        raise FinalError(
            f"not every file could be fetched from {context.peer.site}: {'; '.join(missing)}",
            slug="files-incomplete",
            hint="secondsite readiness",
        )
    return {name: asdict(result) for name, result in done.items()}
