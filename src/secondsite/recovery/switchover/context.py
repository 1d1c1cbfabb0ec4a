"""What every step of a switchover knows besides: what the operator said, and how the old primary is spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secondsite.errors import FinalError, RetryableError, UnknownOutcomeError
from secondsite.recovery.acts.context import Act, Context
from secondsite.recovery.peer import Peer

PROCEDURE = "switchover"
CONNECT_SECONDS = 3.0
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SwitchoverArguments:
    """What the operator asked for. to: the site that takes over. commanded_at: when (RFC 3339)."""

    to: str
    commanded_at: str
    reason: str = ""
    overwrite_dns: bool = False


@dataclass(frozen=True, slots=True)
class OldPrimary:
    """The site that steps down, by its agent over the tunnel. serial: grows with every request."""

    peer: Peer
    procedure_id: str
    serial: Callable[[], int]

    async def ask(self, act: str, document: Mapping[str, Any] | None = None, *, seconds: float) -> Mapping[str, Any]:
        """Have it do one act. Raises what it raises there, RetryableError where it is silent, and
        UnknownOutcomeError where it took the request and did not answer."""
        request = {**(document or {}), "procedure": self.procedure_id, "serial": self.serial()}
        path = f"/v1/handover/{act}"
        try:
            return await self.peer.post(path, request, connect_seconds=CONNECT_SECONDS, answer_seconds=seconds)
        except RetryableError as silent:
            silent.hint = silent.hint or f"on {self.peer.site}: systemctl start secondsite-agent"
            raise
        except FinalError as refused:
            if refused.slug == "peer-refused" and "answered 404" in refused.message:
                raise FinalError(
                    f"the agent at {self.peer.site} runs another version of secondsite",
                    slug="peer-version",
                    host=self.peer.site,
                    hint="secondsite apply",
                ) from refused
            raise

    async def insist(
        self, act: str, document: Mapping[str, Any] | None = None, *, seconds: float, patience: float
    ) -> Mapping[str, Any]:
        """The same, asked again while it is silent: its agent may be starting anew. For acts that may be repeated."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            try:
                return await self.ask(act, document, seconds=seconds)
            except (RetryableError, UnknownOutcomeError):
                if loop.time() + RETRY_SECONDS > deadline:
                    raise
            await asyncio.sleep(RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class SwitchoverContext(Context):
    """The switchover's world."""

    arguments: SwitchoverArguments
    primary: OldPrimary

    @property
    def midway(self) -> bool:
        """Had this procedure stopped the writers before it died? The old primary is not expected to run then."""
        return bool(self.result("assess").get("midway"))

    @property
    def generation(self) -> int:
        """The one that begins."""
        return int(self.result("assess")["database"]["timeline"]) + 1


class SwitchoverAct(Act):
    """A step of a switchover alone. ``there``: it works at the site that steps down."""

    there = False
    _context: SwitchoverContext

    def __init__(self, context: SwitchoverContext) -> None:
        super().__init__(context)
        if self.there:
            self.site = context.peer.site
