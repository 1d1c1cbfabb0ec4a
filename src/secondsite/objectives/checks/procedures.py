"""Checks of what was done last: a failover that was taken back leaves everything as it was, and its cause in place."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten

from secondsite.clock import ago
from secondsite.objectives.finding import Judged, Problem, Registry, Severity
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import LastProcedure

registry = Registry()
_TOLD_SECONDS = 86400.0  # what has completed
_CAUSE_TOLD_SECONDS = 7 * 86400.0  # what has not: its cause may still be there
_WHY_WIDTH = 160  # characters: the journal has the rest
_COMPLETED = "completed"
_WORDS = {_COMPLETED: "completed", "rolled_back": "was taken back"}


def newest(situation: Situation) -> tuple[str | None, LastProcedure | None]:
    """The last procedure that is over, and the site whose journal proves it."""
    ended = [(state.last_procedure, state.site) for state in situation.here if state.last_procedure is not None]
    last, site = max(ended, key=lambda one: (one[0].ended_at, one[0].id), default=(None, None))
    return site, last


@registry.check("last-procedure", Severity.WARNING, "Has no procedure been taken back lately?")
def last_procedure(judged: Judged) -> Iterator[Problem]:
    """One that was taken back has changed nothing, and what stopped it stops the next one as well, until it is mended.
    It is told for a week; one that completed for a day, as information."""
    situation = judged.situation
    site, last = newest(situation)
    state = situation.present(site) if site else None
    if last is None or state is None:
        return
    passed = max(0.0, state.taken_at - last.ended_at)
    done = last.outcome == _COMPLETED
    if passed > (_TOLD_SECONDS if done else _CAUSE_TOLD_SECONDS):
        return
    because = f": {shorten(last.why, _WHY_WIDTH, placeholder=' …')}" if last.why and not done else ""
    message = f"the last procedure, {last.id}, {_WORDS.get(last.outcome, last.outcome)} {ago(passed)} ago{because}"
    steps = f"`secondsite journal {last.id}` shows each step"
    if done:
        yield Problem(site, message, steps, Severity.INFO)
        return
    again = f"`secondsite {last.procedure}{f' --to {last.to}' if last.to else ''}`"
    yield Problem(site, message, f"{last.hint or 'mend what stopped it'}; to try again: {again}; {steps}")
