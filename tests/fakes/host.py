"""A host one need not connect to: its shell is this machine's."""

from __future__ import annotations

from collections.abc import Callable

from secondsite import process
from secondsite.errors import FinalError, RetryableError, UnknownOutcomeError
from secondsite.process import Completed


class HereAsHost:
    """Answers as ``remote.host.Host`` does."""

    site = "oslo"

    async def run(
        self,
        script: str,
        *,
        timeout: float,
        step: str,
        stdin: bytes | None = None,
        sent: Callable[[int], None] | None = None,
        check: bool = True,
    ) -> Completed:
        try:
            done = await process.run(["sh", "-c", script], stdin=stdin, timeout=timeout, check=check, step=step)
        except RetryableError as late:
            raise UnknownOutcomeError(late.message, slug="ssh-timeout", host=self.site, step=step) from late
        except FinalError as failed:
            raise FinalError(failed.message, slug=failed.slug, host=self.site, step=step) from failed
        if sent is not None and stdin:
            sent(len(stdin))
        return done
