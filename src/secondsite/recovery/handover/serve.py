"""Answer the other site's requests of a switchover, one at a time and never a stale one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from secondsite.clock import Clock
from secondsite.database import promote
from secondsite.database.cluster import Cluster
from secondsite.errors import FinalError, UsageError
from secondsite.recovery.handover.close import close
from secondsite.recovery.handover.follow import follow
from secondsite.recovery.handover.pooler import pooler
from secondsite.recovery.handover.reopen import reopen
from secondsite.recovery.handover.standing import standing
from secondsite.recovery.handover.stop import stop
from secondsite.recovery.handover.survey import survey, to_json
from secondsite.spec import Spec

Request = Mapping[str, Any]
Answer = Mapping[str, Any]
ASIDE = frozenset({"pooler"})  # asked for at the same time as others, so it may come before or behind them
LOOKS = frozenset({"survey", "checkpoint", "standing"})  # they change nothing, so they wait for nobody


class Handover:
    """This site's part. Requests that change something carry ``procedure`` and a ``serial`` that grows."""

    def __init__(self, spec: Spec, site: str, clock: Clock) -> None:
        self._spec = spec
        self._site = site
        self._clock = clock
        self._procedure = ""
        self._heard: dict[str, int] = {}
        self._over: set[str] = set()
        self._acts: Mapping[str, Callable[[Request], Awaitable[Answer]]] = {
            "survey": self._survey,
            "checkpoint": self._checkpoint,
            "close": lambda request: close(spec, site, clock, request),
            "standing": lambda request: standing(spec, site, request),
            "stop": lambda request: stop(spec, site, clock, request),
            "reopen": lambda request: reopen(spec, site, clock, request),
            "pooler": lambda request: pooler(spec, site, request),
            "follow": lambda request: follow(spec, site, clock, request),
        }

    async def __call__(self, act: str, request: Request) -> Answer:
        """Raises UsageError for an act that does not exist, FinalError ``handover-stale`` for one that comes late."""
        if act not in self._acts:
            raise UsageError(f"there is no act {act} of a handover", slug="no-such-act")
        if act not in LOOKS:
            self._refuse_stale(act, request)
        return await self._acts[act](request)

    def _refuse_stale(self, act: str, request: Request) -> None:
        """A request that a broken tunnel held back must not close what was opened again meanwhile.

        An act that goes aside is stale only behind a later one of its own: it looks itself whether it is of use yet.
        What an earlier agent has heard is of no concern: a connection does not outlive the agent it was made to.
        """
        procedure, serial = str(request.get("procedure", "")), int(request.get("serial", -1))
        lane = act if act in ASIDE else ""
        if procedure in self._over or (procedure == self._procedure and serial <= self._heard.get(lane, -1)):
            raise FinalError(
                f"the request to {act} of {procedure} came after a later one, so it was left alone",
                slug="handover-stale",
                host=self._site,
                hint=f"secondsite switchover --resume --to {self._spec.peer_of(self._site)}",
            )
        if procedure != self._procedure:
            self._over.add(self._procedure)
            self._procedure, self._heard = procedure, {}
        self._heard[lane] = serial

    async def _survey(self, _: Request) -> Answer:
        return to_json(await survey(self._spec, self._site))

    async def _checkpoint(self, _: Request) -> Answer:
        began = self._clock.monotonic()
        await promote.checkpoint(Cluster.parse(self._spec.database.cluster, self._spec.database.port))
        return {"seconds": round(self._clock.monotonic() - began, 4)}
