"""Promote what was proven, and only while the proof still counts: the old primary says once more that it stands down.

Between the proof and the promotion this host may stand still (a suspended virtual machine, SIGSTOP). A person may
open the old primary meanwhile, and rightly so: nobody serves. So it is asked again, and its answer soon grows old.
"""

from __future__ import annotations

import time

from secondsite.database import promote as database
from secondsite.errors import FinalError, RetryableError, UnknownOutcomeError
from secondsite.events import Emit
from secondsite.recovery.acts.take_over import PROMOTE_SECONDS, Promote
from secondsite.recovery.step import Details
from secondsite.recovery.switchover.context import SwitchoverContext

ASK_SECONDS = 2.0
WORTH_SECONDS = 3.0  # from the question to the promotion; usually some hundredths
RUNS_ON = time.CLOCK_BOOTTIME  # unlike CLOCK_MONOTONIC it counts a suspended machine's time too (clock_gettime(2))


class PromoteProven(Promote):
    """Where the old primary does not answer, has been opened, or the answer is old, everything is taken back."""

    _context: SwitchoverContext

    async def apply(self, emit: Emit) -> Details:
        asked_at = time.clock_gettime(RUNS_ON)
        await self._refuse_unless_it_stands_down()

        def last_word() -> None:
            refuse_old(time.clock_gettime(RUNS_ON) - asked_at, self._context.peer.site)

        promoted = await database.promote(self._context.cluster, timeout_seconds=PROMOTE_SECONDS, last_word=last_word)
        return await self.opened(promoted)

    async def _refuse_unless_it_stands_down(self) -> None:
        peer = self._context.peer.site
        try:
            told = await self._context.primary.ask("standing", seconds=ASK_SECONDS)
        except UnknownOutcomeError as unanswered:  # only a question: nothing can have come of it
            raise RetryableError(unanswered.message, slug="peer-silent", host=peer) from unanswered
        if told.get("stands_down") is not True or told.get("procedure") != self._context.procedure_id:
            raise FinalError(
                f"{peer} does not stand down any more: {told.get('why') or 'it speaks of another procedure'}",
                slug="not-standing-down",
                host=peer,
                hint="secondsite status",
            )


def refuse_old(seconds: float, peer: str) -> None:
    """Pure: raises FinalError (``proof-too-old``) where so much time has passed since the old primary was asked."""
    if seconds > WORTH_SECONDS:
        raise FinalError(
            f"{seconds:.1f} s have passed since {peer} said that it stands down, and more than {WORTH_SECONDS:g} s are"
            " too many: it may have been opened meanwhile",
            slug="proof-too-old",
            hint="secondsite status; then give the same command again",
        )
