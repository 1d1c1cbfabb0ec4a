"""What a switchover would do, what stands against it, and how long users would wait; nothing is touched."""

from __future__ import annotations

from dataclasses import asdict

from secondsite.clock import Clock, to_text
from secondsite.errors import Exit, SecondsiteError
from secondsite.events import Result
from secondsite.recovery import history
from secondsite.recovery.switchover.context import PROCEDURE, SwitchoverArguments
from secondsite.recovery.switchover.gate import Fault, faults, questions, refusal
from secondsite.recovery.switchover.look import look
from secondsite.recovery.switchover.outage import expected
from secondsite.recovery.switchover.plan import steps
from secondsite.recovery.switchover.run import context_of
from secondsite.spec import Spec, paths


async def preview(spec: Spec, site: str, clock: Clock) -> Result:
    """A document {procedure, to, from, steps, faults, checks, would_be_refused, outage{expected_seconds, earlier}}."""
    arguments = SwitchoverArguments(to=site, commanded_at=to_text(clock.now()))
    context = context_of(spec, site, arguments, clock, "preview", {}, 0)
    refused: SecondsiteError | None = None
    found: tuple[Fault, ...] = ()
    asked: tuple[tuple[str, str, bool], ...] = ()
    past = history.measured_outages(paths.JOURNAL)
    try:
        seen = await look(context)
        found = faults(seen)
        asked = questions(seen, found)
        past = past or seen.there.past_outages
        told = refusal(found)
        if told is not None:
            refused = told.error(site)
    except SecondsiteError as silent:
        refused = silent
    return Result(
        {
            "procedure": PROCEDURE,
            "dry_run": True,
            "to": site,
            "from": context.peer.site,
            "would_be_refused": None if refused is None else refused.as_json(),
            "faults": [asdict(fault) for fault in found],
            "checks": [{"check": name, "question": question, "ok": ok} for name, question, ok in asked],
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
            "outage": {"expected_seconds": expected(past), "earlier": len(past)},
            "rto": {"objective_seconds": spec.objectives.rto},
        },
        int(Exit.OK if refused is None else refused.exit),
    )
