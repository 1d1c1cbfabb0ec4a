"""The two sites as a verification asks them: here directly, there through its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from secondsite.database.cluster import Cluster
from secondsite.database.verify import acts
from secondsite.errors import RetryableError, SecondsiteError, UnknownOutcomeError
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 120.0  # some looks of ten seconds each
Document = Mapping[str, Any]


class Side(Protocol):
    """One site."""

    @property
    def site(self) -> str:
        """Its name."""

    async def ask(self, act: str, request: Document | None = None, *, seconds: float = ANSWER_SECONDS) -> Document:
        """One of the looks of ``database.verify.acts``. Raises SecondsiteError."""


@dataclass(frozen=True, slots=True)
class Here:
    """This host's own cluster."""

    spec: Spec
    site: str
    cluster: Cluster

    async def ask(self, act: str, request: Document | None = None, *, seconds: float = ANSWER_SECONDS) -> Document:
        """In a thread; each statement ends by itself, so nothing outlives a caller by more than that."""
        try:
            return await asyncio.to_thread(acts.perform, self.spec, self.cluster, act, request or {})
        except SecondsiteError as error:
            error.host = error.host or self.site
            raise


@dataclass(frozen=True, slots=True)
class There:
    """The other site, through the tunnel."""

    peer: Peer

    @property
    def site(self) -> str:
        return self.peer.site

    async def ask(self, act: str, request: Document | None = None, *, seconds: float = ANSWER_SECONDS) -> Document:
        """A look changes nothing, so one without an answer may be taken again."""
        try:
            return await self.peer.post(
                f"/v1/verify/{act}", request or {}, connect_seconds=CONNECT_SECONDS, answer_seconds=seconds
            )
        except UnknownOutcomeError as unanswered:
            raise RetryableError(unanswered.message, slug="peer-silent", host=self.site) from unanswered
