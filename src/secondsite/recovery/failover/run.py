"""Begin a failover, or take up one that died; under the host's lock, into the journal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from secondsite.clock import Clock, to_text
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.promote import in_recovery
from secondsite.errors import SecondsiteError, UsageError
from secondsite.events import Emit, Result
from secondsite.recovery import history, lock
from secondsite.recovery.document import describe, recovery_seconds
from secondsite.recovery.engine import Engine, Tripwire
from secondsite.recovery.failover.context import KNOWN_SILENT_SECONDS, FailoverArguments, FailoverContext
from secondsite.recovery.failover.isolate import fenced_before
from secondsite.recovery.failover.knock import knocking
from secondsite.recovery.failover.plan import kinds, steps
from secondsite.recovery.failover.sight import Kept, Sight
from secondsite.recovery.fence import ssh_door
from secondsite.recovery.journal import Journal
from secondsite.recovery.opening import begin, other_unfinished, refuse_elsewhere, supersede, take_up
from secondsite.recovery.peer import Peer
from secondsite.recovery.promoted import denied, promised, refuse_held
from secondsite.recovery.step import Details
from secondsite.spec import Spec, paths

PROCEDURE = "failover"


async def failover(
    spec: Spec,
    site: str,
    arguments: FailoverArguments,
    *,
    emit: Emit,
    clock: Clock,
    resume: bool = False,
    tripwire: Tripwire | None = None,
    directory: Path = paths.JOURNAL,
    kept: Kept | None = None,
    round_trip: float | None = None,
) -> Result:
    """Run a failover to ``site``, which is this host. The result's document is a procedure document.

    A failover to the same site that died is taken up, asked for or not: beginning anew would forget what it did. What
    the world denies of it is done again. One whose promotion is gone is taken up only where ``resume`` asks for it.
    Raises UsageError where there is nothing to resume or the target is another site, FinalError
    (``procedure-running``, ``other-procedure-unfinished``) where something stands in the way. kept: a connection to the
    database that is warm already. round_trip: seconds through the tunnel, when it was last measured.
    """
    refuse_elsewhere(PROCEDURE, arguments.to, site)
    sight = Sight(Cluster.parse(spec.database.cluster, spec.database.port), kept)
    arguments = replace(arguments, peer_silent_since=await _silent_since(sight, arguments, clock))
    with lock.hold(paths.LOCK, f"{PROCEDURE} to {site}", to_text(clock.now())):
        journal, arguments = await _journal(directory, arguments, resume, emit, clock, spec)
        try:
            return await _carry_out(spec, site, arguments, journal, emit, clock, tripwire, kept, round_trip)
        finally:
            journal.close()


async def _silent_since(sight: Sight, arguments: FailoverArguments, clock: Clock) -> float | None:
    """Since when the old site is silent as far as it matters: its agent, its database, and the operator says so too.

    An agent alone may have died on a healthy site, which can be fenced and still has something to send.
    """
    if not arguments.accept_unconfirmed_fence or arguments.peer_silent_since is None:
        return None
    heard = await sight.receiver_heard_at()
    if heard is not None and clock.now().timestamp() - heard < KNOWN_SILENT_SECONDS:
        return None
    return arguments.peer_silent_since


async def _journal(
    directory: Path, arguments: FailoverArguments, resume: bool, emit: Emit, clock: Clock, spec: Spec
) -> tuple[Journal, FailoverArguments]:
    old = history.unfinished(directory)
    cluster, site = Cluster.parse(spec.database.cluster, spec.database.port), arguments.to
    if old is not None and not resume and await _over(old, cluster, site):
        supersede(old, "this failover takes its place", clock, emit, site)
        old = None
    if old is not None and (old.opened["procedure"] != PROCEDURE or old.opened["arguments"]["to"] != site):
        raise other_unfinished(old, site)
    if old is not None:
        merged = merge(FailoverArguments(**old.opened["arguments"]), arguments, resume=resume)
        return take_up(old, {"arguments": asdict(merged)}, clock, emit, site), merged
    if resume:
        raise UsageError("no failover is unfinished on this host", slug="nothing-to-resume", hint="secondsite status")
    return begin(directory, PROCEDURE, asdict(arguments), (step.name for step in kinds(spec)), clock), arguments


def merge(before: FailoverArguments, now: FailoverArguments, *, resume: bool) -> FailoverArguments:
    """Pure: what holds for a procedure that is taken up. What its operator has accepted then counts only for somebody
    who means that procedure, and says so."""
    return replace(
        before,
        accept_unconfirmed_fence=(resume and before.accept_unconfirmed_fence) or now.accept_unconfirmed_fence,
        resume_replay=(resume and before.resume_replay) or now.resume_replay,
        overwrite_dns=now.overwrite_dns,
        peer_silent_since=now.peer_silent_since,
    )


async def _over(old: history.Entry, cluster: Cluster, site: str) -> bool:
    """Has the world gone on without that procedure? A promotion that it proves and this site's database denies is over;
    so is a switchover that has promoted nobody, which must not stand in the way of a disaster that came in its middle.

    Raises HalfwayError where the guard alone holds back what was promoted: the procedure itself opens it again.
    """
    timeline = promised(old)
    if timeline is None:
        return str(old.opened["procedure"]) == "switchover" and await apart(_stands_by, cluster)
    if not await apart(denied, old, cluster):
        return False
    await refuse_held(old, cluster, site)
    return True


def _stands_by(cluster: Cluster) -> bool:
    try:
        return in_recovery(cluster)
    except SecondsiteError:
        return True  # the first step says what is wrong with the database


async def _carry_out(
    spec: Spec,
    site: str,
    arguments: FailoverArguments,
    journal: Journal,
    emit: Emit,
    clock: Clock,
    tripwire: Tripwire | None,
    kept: Kept | None,
    round_trip: float | None,
) -> Result:
    results: dict[str, Details] = {}
    context = _context(spec, site, arguments, clock, journal, results)
    doors = [(context.peer.address, context.peer.port), ssh_door(spec, context.peer.site)]
    with knocking(doors) if context.peer_known_silent else nullcontext() as knock:
        context = replace(context, knock=knock, kept=kept, round_trip=round_trip)
        engine = Engine(steps(context), journal, clock, emit, results, tripwire)
        outcome, outcomes = await engine.run(
            lambda ended: {"rto_seconds": recovery_seconds(arguments.commanded_at, ended)}
        )
    assessed = next((step.details for step in outcomes if step.name == "assess"), {})
    loss = assessed.get("rpo", {})
    return describe(
        spec,
        procedure=PROCEDURE,
        procedure_id=context.procedure_id,
        arguments=asdict(arguments),
        outcome=outcome,
        steps=outcomes,
        journal=journal,
        seconds=recovery_seconds(arguments.commanded_at, outcomes),
        loss=loss,
        out_since=loss.get("heard_at"),
    )


def _context(
    spec: Spec,
    site: str,
    arguments: FailoverArguments,
    clock: Clock,
    journal: Journal,
    results: Mapping[str, Details],
) -> FailoverContext:
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    return FailoverContext(
        procedure=PROCEDURE,
        spec=spec,
        site=site,
        peer=Peer.of(spec, site),
        cluster=cluster,
        clock=clock,
        procedure_id=journal.path.stem,
        overwrite_dns=arguments.overwrite_dns,
        results=lambda: results,
        arguments=arguments,
        fenced_before=fenced_before(journal.records),
    )
