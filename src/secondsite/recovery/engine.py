"""Carry out a procedure: intent, fsync, act, observe, result. Resumable at any point, in parallel where independent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.errors import FinalError, RetryableError, SecondsiteError, UnknownOutcomeError
from secondsite.events import Emit, Note, StepEnded, StepStarted
from secondsite.recovery.journal import Journal, Kind, Record, unwritable
from secondsite.recovery.step import Details, Step, StepOutcome, StepResult

Closing = Callable[[Sequence[StepOutcome]], Mapping[str, Any]]
Tripwire = Callable[[str, str], None]  # (step, phase); where a rehearsal makes the process die


GONE = "gone"  # the journal proves the point of no return, the world denies it, and it could not be made so again


class Outcome(StrEnum):
    """How a procedure ended."""

    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"  # and could not be rolled back
    BLOCKED = "blocked"  # beyond the point of no return; goes on with --resume


@dataclass(frozen=True, slots=True)
class Ended:
    """A step the journal proves to have worked: what it left, when (RFC 3339), after how many seconds."""

    details: Details
    at: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Position:
    """Where a journal stands. completed: by step name. begun: intents without an end. touched: what any run has begun
    and none has taken back since. superseded: the world has gone on without it, and nobody takes it up again."""

    completed: dict[str, Ended]
    begun: frozenset[str]
    outcome: Outcome | None
    touched: frozenset[str] = frozenset()
    superseded: bool = False


def position(records: Sequence[Record]) -> Position:
    """Pure: what the proven records say has happened."""
    completed: dict[str, Ended] = {}
    begun: set[str] = set()
    touched: set[str] = set()
    outcome: Outcome | None = None
    for record in records:
        step = str(record.body.get("step", ""))
        match record.kind:
            case Kind.INTENT:
                begun.add(step)
                touched.add(step)
            case Kind.RESULT if record.body["result"] == GONE:
                begun.discard(step)  # it was done all the same, and what came after it relies on that
            case Kind.RESULT:
                begun.discard(step)
                completed.pop(step, None)
                if record.body["result"] in (StepResult.DONE, StepResult.ALREADY):
                    completed[step] = Ended(record.body["details"], record.at, record.body["seconds"])
            case Kind.UNDONE:
                begun.discard(step)
                touched.discard(step)
                completed.pop(step, None)
            case Kind.CLOSED:
                outcome = Outcome(record.body["outcome"])
            case Kind.RESUMED:
                outcome = None
            case Kind.OPENED | Kind.SUPERSEDED:
                pass
    superseded = any(record.kind is Kind.SUPERSEDED for record in records)
    return Position(completed, frozenset(begun), outcome, frozenset(touched), superseded)


class Engine:
    """Runs one list of steps against one journal."""

    def __init__(
        self,
        steps: Sequence[Step],
        journal: Journal,
        clock: Clock,
        emit: Emit,
        details: dict[str, Details],
        tripwire: Tripwire | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self._journal = journal
        self._clock = clock
        self._emit = emit
        self._trip = tripwire or (lambda _step, _phase: None)
        self._before = position(journal.records)
        self._touched: set[str] = set(self._before.touched)
        self._told_unwritable = False
        self._outcomes: dict[str, StepOutcome] = {}
        self._details = details  # shared with the steps: what earlier steps left
        self._details.update({name: ended.details for name, ended in self._before.completed.items()})
        self._turn = _turning_point(self._steps)

    async def run(self, closing: Closing) -> tuple[Outcome, tuple[StepOutcome, ...]]:
        """To the end, or as far as the world lets it; never raises a SecondsiteError, the outcomes carry it.

        ``closing`` adds what the closing record should keep.
        """
        await self._settle()
        await self._all()
        failures = [
            one for one in self._outcomes.values() if one.result is StepResult.FAILED and self._is_essential(one)
        ]
        if not failures:
            outcome = Outcome.COMPLETED
        elif await self._beyond():
            outcome = Outcome.BLOCKED
        else:
            outcome = await self._roll_back()
        ended = tuple(self._outcomes[step.name] for step in self._steps)
        self._write(Kind.CLOSED, {"outcome": outcome.value, **closing(ended)})
        try:
            await self._journal.sync()
        except OSError as full:
            self._tell_unwritable(full)
        return outcome, ended

    async def _settle(self) -> None:
        """Taken up before the turning point: what was done before it may have been taken back since, by a rollback
        that died or by a person. Everything up to it is done again; every step begins by looking. Taken up behind it:
        it and what follows is asked again, one by one (``_still``). On which side that is, the world says: a disk
        that lost its power may have lost the end of the journal too."""
        turn = self._steps[self._turn]
        if not self._journal_is_old() or turn.name in self._before.completed:
            return
        details: Details | None
        try:
            async with asyncio.timeout(turn.timeout_seconds):
                details = await turn.check()
        except Exception:  # noqa: BLE001 - whatever hides the answer
            details = None  # looked at again, step by step, and nothing is taken back before it is known
        if details is not None:
            self._before.completed[turn.name] = Ended(details, to_text(self._clock.now()), 0.0)
            self._details[turn.name] = details
            return
        for step in self._steps[: self._turn]:
            if self._before.completed.pop(step.name, None) is not None:
                self._touched.add(step.name)
            self._details.pop(step.name, None)

    def _journal_is_old(self) -> bool:
        return bool(self._before.completed or self._before.touched)

    async def _all(self) -> None:
        done = {step.name: asyncio.Event() for step in self._steps}
        async with asyncio.TaskGroup() as group:
            for step in self._steps:
                group.create_task(self._when_ready(step, done), name=f"step {step.name}")

    async def _when_ready(self, step: Step, done: Mapping[str, asyncio.Event]) -> None:
        needs = self._needs(step)
        for name in (*needs, *step.follows):
            await done[name].wait()
        missing = [name for name in needs if not self._went_well(name)]
        if missing:
            self._outcomes[step.name] = StepOutcome(step.name, step.site, step.title, StepResult.SKIPPED)
        else:
            self._outcomes[step.name] = await self._one(step)
        done[step.name].set()  # not where it was cancelled: it has no outcome that another one could look at

    async def _one(self, step: Step) -> StepOutcome:
        ended = self._before.completed.get(step.name)
        if ended is not None and (kept := await self._still(step, ended)) is not None:
            return kept
        began, started_at = self._clock.monotonic(), to_text(self._clock.now())
        self._emit(StepStarted(step.name, step.site, step.title, started_at))
        error: SecondsiteError | None = None
        details: Details = {}
        result = StepResult.FAILED
        try:
            async with asyncio.timeout(step.timeout_seconds):
                result, details = await self._act(step, ended)
        except TimeoutError:
            error = RetryableError(
                f"not finished within {step.timeout_seconds:g} s", slug="step-timeout", host=step.site, step=step.name
            )
        except SecondsiteError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001 - a bug in one step must not stop the others after the turning point
            error = FinalError(f"{type(bug).__name__}: {bug}", slug="internal", host=step.site, step=step.name)
        outcome = StepOutcome(
            step.name, step.site, step.title, result, started_at, to_text(self._clock.now()),
            self._clock.monotonic() - began, details, _located(error, step),
        )  # fmt: skip
        self._record(outcome, gone=result is StepResult.FAILED and ended is not None and step.point_of_no_return)
        return outcome

    async def _still(self, step: Step, ended: Ended) -> StepOutcome | None:
        """What the journal proves of a step, where the world still says so; None where the world denies it. What lies
        before the turning point is not asked once that is passed: it has done its part."""
        details = ended.details
        if self._steps.index(step) >= self._turn:
            try:
                async with asyncio.timeout(step.timeout_seconds):
                    seen = await step.holds()
            except Exception:  # noqa: BLE001 - whatever hides the answer: it says why when it is done again
                seen = None
            if seen is None:
                self._emit(Note(f"done before, and not so now: {step.title}", step.site, "warning"))
                return None
            details = self._details[step.name] = {**ended.details, **seen}
        return StepOutcome(step.name, step.site, step.title, StepResult.ALREADY, None, ended.at, ended.seconds, details)

    async def _act(self, step: Step, before: Ended | None) -> tuple[StepResult, Details]:
        if before is not None and step.point_of_no_return:
            await self._intend(step)
            return StepResult.DONE, {**before.details, **await step.again(before.details, self._emit)}
        already = await step.check()
        if already is not None:
            return StepResult.ALREADY, already
        self._trip(step.name, "before-intent")
        await self._intend(step)
        self._trip(step.name, "intent")
        applied = await step.apply(self._emit)
        self._trip(step.name, "applied")
        verified = await step.verify()
        self._trip(step.name, "verified")
        return StepResult.DONE, {**applied, **verified}

    async def _intend(self, step: Step) -> None:
        """The intent, on the disk before the step acts. Without it nothing begins that could still be left alone;
        behind the turning point there is no way back, so it is told and gone on."""
        try:
            self._journal.append(Kind.INTENT, {"step": step.name, "site": step.site})
            if not step.only_looks:
                await self._journal.sync()
        except OSError as full:
            if self._steps.index(step) <= self._turn and not self._passed_before:
                raise unwritable(self._journal.path, full) from full
            self._tell_unwritable(full)

    @property
    def _passed_before(self) -> bool:
        """Was the turning point passed in an earlier run?"""
        return self._steps[self._turn].name in self._before.completed

    def _tell_unwritable(self, full: OSError) -> None:
        if not self._told_unwritable:
            self._told_unwritable = True
            told = (
                f"the journal {self._journal.path} cannot be written, and everything goes on: {full.strerror or full}"
            )
            self._emit(Note(told, level="error"))

    def _record(self, outcome: StepOutcome, *, gone: bool = False) -> None:
        self._details[outcome.name] = outcome.details
        body: dict[str, Any] = {
            "step": outcome.name,
            "site": outcome.site,
            "result": GONE if gone else outcome.result.value,
            "seconds": round(outcome.seconds, 6),
            "details": outcome.details,
        }
        if outcome.error is not None:
            body["error"] = outcome.error.as_json()
        # Durable at the latest with the next intent or the closing record: losing a result costs one more look.
        self._write(Kind.RESULT, body)
        message = outcome.error.message if outcome.error else ""
        self._emit(
            StepEnded(
                outcome.name, outcome.site, outcome.result.value, outcome.ended_at or "", outcome.seconds, message,
                outcome.details,
            )
        )  # fmt: skip

    def _write(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """A record of what has happened. A full disk must not stop what comes after a promotion: it is told instead."""
        try:
            self._journal.append(kind, body)
        except OSError as full:
            self._tell_unwritable(full)

    async def _roll_back(self) -> Outcome:
        touched = [
            step for step in self._steps[: self._turn + 1]
            if step.name in self._touched
            or self._outcomes[step.name].result in (StepResult.DONE, StepResult.FAILED)
        ]  # fmt: skip
        clean = True
        for step in reversed(touched):
            try:
                async with asyncio.timeout(step.timeout_seconds):
                    await step.undo()
            except Exception as failure:  # noqa: BLE001 - the other steps must be taken back all the same
                clean = False
                why = _not_undone(failure, step, self._outcomes[step.name].error)
                self._outcomes[step.name] = replace(self._outcomes[step.name], result=StepResult.FAILED, error=why)
                self._write(
                    Kind.RESULT, {"step": step.name, "result": "undo-failed", "details": {}, "why": why.message}
                )
                self._emit(StepEnded(step.name, step.site, "undo-failed", to_text(self._clock.now()), 0.0, why.message))
            else:
                self._write(Kind.UNDONE, {"step": step.name})
        return Outcome.ROLLED_BACK if clean else Outcome.FAILED

    def _needs(self, step: Step) -> tuple[str, ...]:
        index = self._steps.index(step)
        if step.point_of_no_return:
            return tuple(other.name for other in self._steps[:index])
        turn = self._steps[self._turn].name
        return (*step.needs, turn) if index > self._turn and turn not in step.needs else step.needs

    def _went_well(self, name: str) -> bool:
        outcome = self._outcomes[name]
        return outcome.result in (StepResult.DONE, StepResult.ALREADY) or (
            outcome.result is StepResult.FAILED and not self._is_essential(outcome)
        )

    def _is_essential(self, outcome: StepOutcome) -> bool:
        return next(step.essential for step in self._steps if step.name == outcome.name)

    async def _beyond(self) -> bool:
        """Was the point of no return passed? Asks the world where the step's own answer is not enough."""
        turn = self._steps[self._turn]
        outcome = self._outcomes[turn.name]
        if self._passed_before:
            return True  # the journal proves it, whatever became of it since
        asked_before = outcome.result is StepResult.SKIPPED and turn.name in self._before.touched
        if outcome.result is not StepResult.FAILED and not asked_before:
            return outcome.result in (StepResult.DONE, StepResult.ALREADY)
        if isinstance(outcome.error, UnknownOutcomeError) or (outcome.error and outcome.error.slug == "step-timeout"):
            return True  # it was asked for and not seen: it may still happen
        try:
            async with asyncio.timeout(turn.timeout_seconds):
                return await turn.check() is not None
        except Exception:  # noqa: BLE001 - whatever hides the answer
            return True  # nobody can tell: never undo what may have happened


def _turning_point(steps: Sequence[Step]) -> int:
    marked = [index for index, step in enumerate(steps) if step.point_of_no_return]
    if len(marked) != 1:
        raise ValueError("a procedure has exactly one point of no return")
    names = [step.name for step in steps]
    for index, step in enumerate(steps):
        if any(need not in names for need in step.follows) or any(need not in names[:index] for need in step.needs):
            raise ValueError(f"step {step.name} needs a step that does not come before it")
    return marked[0]


def _not_undone(failure: Exception, step: Step, before: SecondsiteError | None) -> SecondsiteError:
    """Why a step could not be taken back, as an error that names the step; with it what had gone wrong before."""
    if isinstance(failure, SecondsiteError):
        error = failure
    elif isinstance(failure, TimeoutError):
        error = RetryableError(f"not taken back within {step.timeout_seconds:g} s", slug="step-timeout")
    else:
        error = FinalError(f"{type(failure).__name__}: {failure}", slug="internal")
    if before is not None:
        error.message = f"{error.message}; before that: {before.message}"
    _located(error, step)
    return error


def _located(error: SecondsiteError | None, step: Step) -> SecondsiteError | None:
    if error is not None:
        error.host = error.host or step.site
        error.step = error.step or step.name
    return error
