"""Keep the old primary from accepting writes, and from reaching in."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit
from secondsite.recovery import fence
from secondsite.recovery.engine import position
from secondsite.recovery.failover.context import FailoverAct, FailoverContext
from secondsite.recovery.journal import Kind, Record
from secondsite.recovery.step import Details
from secondsite.spec import paths
from secondsite.tunnel import quarantine

SHORT_SECONDS = 0.02  # for a peer that has not answered the agent's questions for a while; longer on a long path
ROUND_TRIPS = 3.0  # a connection takes one; the others are for a path that is slower now than it was
LONG_SECONDS = 2.0  # for a peer nobody has asked yet, and for one that has just taken a connection
LATER_SECONDS = 5.0
STEP_SECONDS = fence.ROUND_SECONDS + 100.0  # ending what is given up; taking back: power, boot, one answer


class Fence(FailoverAct):
    """Try everything that stops the old primary; go on unconfirmed only where the operator has accepted that.

    Nothing is stopped before it is known that the standby can take over. From here until the promotion, whoever asks
    the guard's question is told that this site may be taking over: an old primary that gets its power back while a
    fence waits for its answer must not be let in, and stay in beside a new one.
    """

    name = "fence"
    title = "Fence the old primary"
    needs = ("assess",)
    timeout_seconds = STEP_SECONDS

    def __init__(self, context: FailoverContext) -> None:
        super().__init__(context)
        self.site = context.peer.site
        self._attempts: tuple[fence.Attempt, ...] | None = None

    async def apply(self, emit: Emit) -> Details:
        _announce()
        silent, patience = self._context.peer_known_silent, await self._patience()
        self._attempts = attempts = await fence_now(self._context, patience, known_silent=silent)
        if not fence.confirmed(attempts) and not self._context.arguments.accept_unconfirmed_fence:
            told = "; ".join(f"{attempt.method}: {attempt.told}" for attempt in attempts)
            raise FinalError(
                f"{self.site} could not be fenced ({told}). If it is still running and users reach it, it goes on "
                "accepting work that will be lost",
                slug="fence-unconfirmed",
                hint=f"make sure that it is off, then: secondsite failover --to {self._context.site} "
                "--accept-unconfirmed-fence",
            )
        return fence.as_details(attempts)

    async def _patience(self) -> float:
        """How long it is waited for: not at all where it is known to be silent, and was knocked at in vain just now."""
        if not self._context.peer_known_silent:
            return LONG_SECONDS
        short = max(SHORT_SECONDS, min(ROUND_TRIPS * (self._context.round_trip or 0.0), LONG_SECONDS))
        knock = self._context.knock
        if knock is None:
            return short
        return LONG_SECONDS if await knock.answered(within_seconds=short) else 0.0

    async def undo(self) -> None:
        """Open the old primary again where anything may have stopped it, in this run or in an earlier one; a process
        that does not know assumes so."""
        paths.TAKING_OVER.unlink(missing_ok=True)  # before it asks whether it may open
        before, now = self._context.fenced_before, self._attempts
        ours = now is None or any(one.confirmed or one.unknown for one in now)
        if before is None and not ours:
            return
        try:
            await self._open(before, now)
        except SecondsiteError as failed:
            raise FinalError(
                f"{self.site} is fenced, as far as is known, and could not be opened again from here: {failed.message}",
                slug="unfence-failed",
                host=self.site,
                hint=f"on {self.site}, with its power on: secondsite guard --allow",
            ) from failed

    async def _open(self, before: tuple[fence.Attempt, ...] | None, now: tuple[fence.Attempt, ...] | None) -> None:
        async def unfence(attempts: tuple[fence.Attempt, ...] | None) -> None:
            context = self._context
            await fence.unfence_peer(context.spec, context.peer, attempts, procedure_id=context.procedure_id)

        if before is None:
            await unfence(now)
            return
        everything = (*before, *(now or ()))
        cut_off = [one for one in everything if (one.confirmed or one.unknown) and one.method.startswith(fence.COMMAND)]
        if cut_off:
            await unfence(tuple(cut_off))
            if len(cut_off) == len([one for one in everything if one.confirmed or one.unknown]) and now is not None:
                return  # nothing else can have stopped it, and its guard asks before it opens
        await unfence(None)


class FenceAgain(FailoverAct):
    """With users already served: ask an unfenced primary once more, with patience."""

    name = "fence-again"
    title = "Ask the old primary once more to stop"
    follows = ("dns", "application")
    essential = False
    timeout_seconds = STEP_SECONDS

    def __init__(self, context: FailoverContext) -> None:
        super().__init__(context)
        self.site = context.peer.site

    async def check(self) -> Details | None:
        return {} if self._context.result("fence").get("fence") == "confirmed" else None

    async def apply(self, emit: Emit) -> Details:
        return fence.as_details(await fence_now(self._context, LATER_SECONDS))


class Quarantine(FailoverAct):
    """Cut the old site off: from now on it may only ask the guard's question.

    Behind the last pull, which still needs the site. Where that is silent nothing is pulled, and a fence that is
    answered late still gets through: then it is done while the fence waits for its answer. What it guards against is
    not writes (the fence and the old site's own guard do that), so a broken firewall does not keep the service down.
    """

    name = "quarantine"
    title = "Cut the old primary off from this site"
    essential = False

    def __init__(self, context: FailoverContext) -> None:
        super().__init__(context)
        self.needs = ("assess",) if context.peer_known_silent else ("fence", "files")
        self._address = IPv4Address(context.peer.address)

    async def check(self) -> Details | None:
        return {"quarantined": self._context.peer.address} if await quarantine.is_active(self._address) else None

    async def apply(self, emit: Emit) -> Details:
        await quarantine.add(self._address)
        return {"quarantined": self._context.peer.address}

    async def undo(self) -> None:
        await quarantine.remove(self._address)


def _announce() -> None:
    paths.RUN.mkdir(exist_ok=True)
    paths.TAKING_OVER.touch()


def fenced_before(records: Sequence[Record]) -> tuple[fence.Attempt, ...] | None:
    """Pure: what earlier runs have tried, as the journal proves, and that one died over it; None where none has begun,
    or it was taken back since."""
    if Fence.name not in position(records).touched:
        return None
    found: list[fence.Attempt] = []
    died = False
    for record in records:
        if record.body.get("step") != Fence.name:
            continue
        died = record.kind is Kind.INTENT
        if record.kind is Kind.UNDONE:
            found.clear()
        elif record.kind is Kind.RESULT:
            found += [fence.Attempt(**one) for one in record.body["details"].get("attempts", ())]
    lost = [fence.Attempt("an earlier run", False, "it died over it", unknown=True)] if died else []
    return (*found, *lost)


async def fence_now(
    context: FailoverContext, patience: float, *, known_silent: bool = False
) -> tuple[fence.Attempt, ...]:
    """One round of all ways."""
    state = context.result("assess").get("database", {})
    return await fence.fence_peer(
        context.spec,
        context.peer,
        procedure_id=context.procedure_id,
        generation=int(state.get("timeline") or 0) + 1,
        connect_seconds=patience,
        known_silent=known_silent,
    )
