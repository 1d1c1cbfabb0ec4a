"""Begin a switchover, or take up one that died; under the host's lock, into the journal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.errors import UsageError
from secondsite.events import Emit, Result
from secondsite.recovery import history, lock
from secondsite.recovery.document import describe
from secondsite.recovery.engine import Engine, Tripwire
from secondsite.recovery.journal import Journal
from secondsite.recovery.opening import begin, other_unfinished, refuse_elsewhere, supersede, take_up
from secondsite.recovery.peer import Peer
from secondsite.recovery.promoted import denied, refuse_held
from secondsite.recovery.step import Details, Step, StepOutcome
from secondsite.recovery.switchover.context import PROCEDURE, OldPrimary, SwitchoverArguments, SwitchoverContext
from secondsite.recovery.switchover.outage import loss, outage_seconds
from secondsite.recovery.switchover.plan import kinds, steps
from secondsite.recovery.switchover.prepare import Assess
from secondsite.spec import Spec, paths

SERIALS_A_RECORD = 1000  # more requests than one step ever makes


async def switchover(
    spec: Spec,
    site: str,
    arguments: SwitchoverArguments,
    *,
    emit: Emit,
    clock: Clock,
    resume: bool = False,
    tripwire: Tripwire | None = None,
    directory: Path = paths.JOURNAL,
) -> Result:
    """Move the service to ``site``, which is this host. The result's document is a procedure document.

    One to the same site that died is taken up, asked for or not. Raises UsageError where there is nothing to resume or
    the target is another site, FinalError (``procedure-running``, ``other-procedure-unfinished``).
    """
    refuse_elsewhere(PROCEDURE, arguments.to, site)
    with lock.hold(paths.LOCK, f"{PROCEDURE} to {site}", to_text(clock.now())):
        journal, arguments = await _journal(directory, arguments, resume, emit, clock, spec)
        try:
            return await _carry_out(spec, site, arguments, journal, emit, clock, tripwire)
        finally:
            journal.close()


async def _journal(
    directory: Path, arguments: SwitchoverArguments, resume: bool, emit: Emit, clock: Clock, spec: Spec
) -> tuple[Journal, SwitchoverArguments]:
    old, site = history.unfinished(directory), arguments.to
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    if old is not None and not resume and await apart(denied, old, cluster):
        await refuse_held(old, cluster, site)
        supersede(old, "this switchover takes its place", clock, emit, site)
        old = None
    if old is not None and old.opened["procedure"] != PROCEDURE:
        raise other_unfinished(old, site)
    if old is not None:
        merged = replace(SwitchoverArguments(**old.opened["arguments"]), overwrite_dns=arguments.overwrite_dns)
        return take_up(old, {"arguments": asdict(merged)}, clock, emit, site), merged
    if resume:
        raise UsageError("no switchover is unfinished on this host", slug="nothing-to-resume", hint="secondsite status")
    return begin(directory, PROCEDURE, asdict(arguments), (step.name for step in kinds(spec)), clock), arguments


async def _carry_out(
    spec: Spec,
    site: str,
    arguments: SwitchoverArguments,
    journal: Journal,
    emit: Emit,
    clock: Clock,
    tripwire: Tripwire | None,
) -> Result:
    results: dict[str, Details] = {}
    context = context_of(
        spec, site, arguments, clock, journal.path.stem, results, len(journal.records) * SERIALS_A_RECORD
    )
    plan = steps(context)
    engine = Engine(plan, journal, clock, emit, results, tripwire)

    def closing(ended: Sequence[StepOutcome]) -> Mapping[str, Any]:
        seconds = outage_seconds(journal.records, ended)
        return {"rto_seconds": seconds, "outage_seconds": seconds}

    outcome, outcomes = await engine.run(closing)
    seconds = outage_seconds(journal.records, outcomes)
    return describe(
        spec,
        procedure=PROCEDURE,
        procedure_id=context.procedure_id,
        arguments=asdict(arguments),
        outcome=outcome,
        steps=outcomes,
        journal=journal,
        seconds=seconds,
        loss=loss(outcome, outcomes),
        more={"outage_seconds": seconds, "faults": _faults(plan)},
    )


def _faults(plan: Sequence[Step]) -> list[dict[str, Any]]:
    """What stood against it, one by one."""
    return [asdict(fault) for step in plan if isinstance(step, Assess) for fault in step.faults]


def context_of(
    spec: Spec,
    site: str,
    arguments: SwitchoverArguments,
    clock: Clock,
    procedure_id: str,
    results: Mapping[str, Details],
    first_serial: int,
) -> SwitchoverContext:
    """The world of a switchover to ``site``."""
    peer, serials = Peer.of(spec, site), itertools.count(first_serial)
    return SwitchoverContext(
        procedure=PROCEDURE,
        spec=spec,
        site=site,
        peer=peer,
        cluster=Cluster.parse(spec.database.cluster, spec.database.port),
        clock=clock,
        procedure_id=procedure_id,
        overwrite_dns=arguments.overwrite_dns,
        results=lambda: results,
        arguments=arguments,
        primary=OldPrimary(peer, procedure_id, lambda: next(serials)),
    )
