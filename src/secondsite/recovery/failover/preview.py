"""What a failover would do and lose, without doing or losing anything."""

from __future__ import annotations

from secondsite.clock import Clock, to_text
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Result
from secondsite.files.engine import last_complete
from secondsite.recovery.failover.assess import Assess, estimate, last_primary
from secondsite.recovery.failover.context import FailoverArguments, FailoverContext
from secondsite.recovery.failover.plan import steps
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec

ASK_SECONDS = 2.0


async def preview(spec: Spec, site: str, clock: Clock, *, peer_silent_since: float | None) -> Result:
    """A document {procedure, to, from, steps, rpo, peer_answers, peer_silent_seconds, database} of a failover that has
    not begun. peer_answers: whether the old primary's agent answers at this moment."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    arguments = FailoverArguments(to=site, commanded_at=to_text(clock.now()))
    peer = Peer.of(spec, site)
    context = FailoverContext("failover", spec, site, peer, cluster, clock, "preview", False, dict, arguments)
    state, now = await apart(observe, cluster), clock.now().timestamp()
    answers = peer_silent_since is None and await _answers(peer)
    refused: FinalError | None = None
    try:
        Assess(context).refuse_unless_ready(state)
    except FinalError as why:
        refused = why
    return Result(
        {
            "procedure": "failover",
            "dry_run": True,
            "to": site,
            "would_be_refused": None if refused is None else refused.as_json(),
            "from": peer.site,
            "steps": [
                {
                    "name": step.name,
                    "title": step.title,
                    "site": step.site,
                    "needs": list(step.needs),
                    "point_of_no_return": step.point_of_no_return,
                }
                for step in steps(context)
            ],
            "database": {"role": state.role.value, "streaming": state.streaming.value, "reason": state.reason},
            "rpo": {
                **estimate(
                    state,
                    last_primary(),
                    {one.name: last_complete(one) for one in spec.files},
                    rules=spec.database,
                    now=now,
                ),
                "objective_seconds": spec.objectives.rpo,
            },
            "rto": {"objective_seconds": spec.objectives.rto},
            "peer_answers": answers,
            "peer_silent_seconds": None if peer_silent_since is None else round(now - peer_silent_since, 1),
        },
        int(refused.exit) if refused is not None else 0,
    )


async def _answers(peer: Peer) -> bool:
    """Is the other site's agent there? Asked now: nobody may have asked before, where no agent runs here."""
    try:
        await peer.get("/v1/guard", connect_seconds=ASK_SECONDS, answer_seconds=ASK_SECONDS)
    except FinalError:
        return True  # it refuses us, so it is there
    except SecondsiteError:
        return False
    return True
