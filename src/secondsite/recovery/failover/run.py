"""Begin a failover, or take up one that died; under the host's lock, into the journal."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from secondsite import __version__
from secondsite.clock import Clock, to_text
from secondsite.database.cluster import Cluster
from secondsite.database.promote import in_recovery, receiver_heard_at
from secondsite.errors import FinalError, SecondsiteError, UsageError
from secondsite.events import Emit, Note, Result
from secondsite.recovery import history, lock
from secondsite.recovery.document import describe, recovery_seconds
from secondsite.recovery.engine import Engine, Tripwire
from secondsite.recovery.failover.context import KNOWN_SILENT_SECONDS, FailoverArguments, FailoverContext
from secondsite.recovery.failover.plan import steps
from secondsite.recovery.journal import Journal, Kind
from secondsite.recovery.peer import Peer
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
) -> Result:
    """Run a failover to ``site``, which is this host. The result's document is a procedure document.

    A failover to the same site that died is taken up, asked for or not: beginning anew would forget what it did.
    Raises UsageError where there is nothing to resume or the target is another site, FinalError
    (``procedure-running``, ``other-procedure-unfinished``) where something stands in the way.
    """
    if arguments.to != site:
        raise UsageError(
            f"this host is {site}; a failover to {arguments.to} runs at {arguments.to}",
            slug="wrong-host",
            hint=f"run it on {arguments.to}, or from a machine that reaches it by SSH",
        )
    arguments = replace(arguments, peer_silent_since=_silent_since(spec, arguments, clock))
    with lock.hold(paths.LOCK, f"{PROCEDURE} to {site}", to_text(clock.now())):
        journal, arguments = _journal(directory, arguments, resume, emit, clock, spec)
        try:
            return await _carry_out(spec, site, arguments, journal, emit, clock, tripwire)
        finally:
            journal.close()


def _silent_since(spec: Spec, arguments: FailoverArguments, clock: Clock) -> float | None:
    """Since when the old site is silent as far as it matters: its agent, its database, and the operator says so too.

    An agent alone may have died on a healthy site, which can be fenced and still has something to send.
    """
    if not arguments.accept_unconfirmed_fence or arguments.peer_silent_since is None:
        return None
    heard = receiver_heard_at(Cluster.parse(spec.database.cluster, spec.database.port))
    if heard is not None and clock.now().timestamp() - heard < KNOWN_SILENT_SECONDS:
        return None
    return arguments.peer_silent_since


def _journal(
    directory: Path, arguments: FailoverArguments, resume: bool, emit: Emit, clock: Clock, spec: Spec
) -> tuple[Journal, FailoverArguments]:
    old = history.unfinished(directory)
    if old is not None and _given_up(old, spec):
        emit(Note(f"{old.id} is given up: this failover takes its place", arguments.to, "warning"))
        old = None
    if old is not None and (old.opened["procedure"] != PROCEDURE or old.opened["arguments"]["to"] != arguments.to):
        raise FinalError(
            f"{old.id} is unfinished here",
            slug="other-procedure-unfinished",
            hint=f"secondsite {old.opened['procedure']} --resume",
        )
    if old is not None:
        emit(Note(f"taking up {old.id}, begun {old.records[0].at}", arguments.to))
        journal = Journal.reopen(old.path, clock)
        before = FailoverArguments(**old.opened["arguments"])
        merged = replace(
            before,
            accept_unconfirmed_fence=before.accept_unconfirmed_fence or arguments.accept_unconfirmed_fence,
            resume_replay=before.resume_replay or arguments.resume_replay,
            overwrite_dns=arguments.overwrite_dns,
            peer_silent_since=arguments.peer_silent_since,
        )
        journal.append(Kind.RESUMED, {"arguments": asdict(merged)})
        return journal, merged
    if resume:
        raise UsageError("no failover is unfinished on this host", slug="nothing-to-resume", hint="secondsite status")
    journal = Journal.create(directory, _new_id(clock), clock)
    names = [step.name for step in steps(_context(spec, arguments.to, arguments, clock, journal, {}))]
    journal.append(
        Kind.OPENED,
        {"procedure": PROCEDURE, "arguments": asdict(arguments), "steps": names, "version": __version__},
    )
    return journal, arguments


def _given_up(old: history.Entry, spec: Spec) -> bool:
    """A switchover that has promoted nobody does not stand in the way of a disaster that came in its middle."""
    if old.opened["procedure"] != "switchover":
        return False
    try:
        return in_recovery(Cluster.parse(spec.database.cluster, spec.database.port))
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
) -> Result:
    results: dict[str, Details] = {}
    context = _context(spec, site, arguments, clock, journal, results)
    engine = Engine(steps(context), journal, clock, emit, results, tripwire)
    outcome, outcomes = await engine.run(lambda ended: {"rto_seconds": recovery_seconds(arguments.commanded_at, ended)})
    assessed = next((step.details for step in outcomes if step.name == "assess"), {})
    return describe(
        spec,
        procedure=PROCEDURE,
        procedure_id=context.procedure_id,
        arguments=asdict(arguments),
        outcome=outcome,
        steps=outcomes,
        journal=journal,
        seconds=recovery_seconds(arguments.commanded_at, outcomes),
        loss=assessed.get("rpo", {}),
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
    )


def _new_id(clock: Clock) -> str:
    return f"{clock.now():%Y%m%dT%H%M%SZ}-{PROCEDURE}-{secrets.token_hex(2)}"
