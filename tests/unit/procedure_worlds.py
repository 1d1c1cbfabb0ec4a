"""Generated procedures in a generated world: steps that fail, hang, raise and die, and a journal that loses power."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from secondsite.clock import SystemClock
from secondsite.errors import FinalError, UnknownOutcomeError
from secondsite.events import Emit, ignore
from secondsite.recovery.engine import Engine, Outcome
from secondsite.recovery.journal import Journal, Kind, Record
from secondsite.recovery.step import Details, Step, StepOutcome, StepResult
from tests.fakes import loop

LIMIT, WORK, FOR_EVER = 60.0, 1.0, 10_000.0


class Mood(StrEnum):
    """What the world does to one act."""

    WELL = "well"
    REFUSED = "refused"  # nothing happened
    AFTER_ALL = "after all"  # it happened, and was told as failed
    UNSEEN = "unseen"  # it happened, and nobody could tell
    NOT_SEEN = "not seen"  # it did not happen, and nobody could tell
    HANGS = "hangs"
    HANGS_DONE = "hangs done"  # it happened, and the answer never came
    BUG = "bug"
    DIES = "dies"  # the process ends in the middle of it


class Died(BaseException):
    """The process is gone: nothing catches this."""


@dataclass(frozen=True)
class Shape:
    """One step as a procedure's list names it."""

    name: str
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    essential: bool = True
    turn: bool = False


@dataclass(frozen=True)
class Weather:
    """What happens to one run: how each step's acts go, where the process dies, and when the disk is full."""

    act: Mapping[str, Mood] = field(default_factory=dict)
    check: Mapping[str, Mood] = field(default_factory=dict)
    undo: Mapping[str, Mood] = field(default_factory=dict)
    die_at: tuple[str, str] | None = None
    full_from: int | None = None  # the disk takes no more records than that
    lost: int = 0  # of the records that were not yet on the disk when the process died


@dataclass
class World:
    """What is so. It outlives every process."""

    so: set[str] = field(default_factory=set)
    applied: list[str] = field(default_factory=list)
    times: dict[str, tuple[float, float]] = field(default_factory=dict)  # of a step that acted: begin and end
    log: list[tuple[str, str]] = field(default_factory=list)  # (what, step), in order


class Generated(Step):
    """A step made of a shape; what it does is ``name`` in the world's ``so``."""

    def __init__(self, shape: Shape, world: World, weather: Weather, journal: Volatile) -> None:
        super().__init__("bergen")
        self.world, self.weather, self.journal = world, weather, journal
        # A step's shape is its class's everywhere else; here each is its own.
        self.__dict__.update(
            name=shape.name, title=shape.name, needs=shape.needs, follows=shape.follows, essential=shape.essential,
            point_of_no_return=shape.turn, timeout_seconds=LIMIT,
        )  # fmt: skip

    async def check(self) -> Details | None:
        await self._suffer(self.weather.check.get(self.name, Mood.WELL))
        return {"seen": True} if self.name in self.world.so else None

    async def apply(self, emit: Emit) -> Details:
        assert self.journal.durable(Kind.INTENT, self.name), f"{self.name} acts before its intent is on the disk"
        self.world.log.append(("begins", self.name))
        mood, began = self.weather.act.get(self.name, Mood.WELL), asyncio.get_running_loop().time()
        await asyncio.sleep(WORK)
        self.world.times[self.name] = (began, began + WORK)
        if mood in (Mood.WELL, Mood.AFTER_ALL, Mood.UNSEEN, Mood.HANGS_DONE):
            self.world.so.add(self.name)
            self.world.applied.append(self.name)
            self.world.log.append(("so", self.name))
        await self._suffer(mood)
        self.world.log.append(("ends", self.name))
        return {"by": self.name}

    async def undo(self) -> None:
        self.world.log.append(("undo", self.name))
        mood = self.weather.undo.get(self.name, Mood.WELL)
        if mood in (Mood.WELL, Mood.AFTER_ALL, Mood.UNSEEN, Mood.HANGS_DONE):
            self.world.so.discard(self.name)
        await self._suffer(mood)

    async def _suffer(self, mood: Mood) -> None:
        match mood:
            case Mood.REFUSED | Mood.AFTER_ALL:
                raise FinalError(f"{self.name}: {mood}")
            case Mood.UNSEEN | Mood.NOT_SEEN:
                raise UnknownOutcomeError(f"{self.name}: {mood}")
            case Mood.HANGS | Mood.HANGS_DONE:
                await asyncio.sleep(FOR_EVER)
            case Mood.BUG:
                raise ZeroDivisionError(self.name)
            case Mood.DIES:
                raise Died
            case Mood.WELL:
                return


class Volatile(Journal):
    """A journal whose disk loses what was not synced when the power goes, and may be full."""

    full_from: int | None = None

    def append(self, kind: Kind, body: Mapping[str, Any]) -> Record:
        if self.full_from is not None and len(self.records) >= self.full_from:
            raise OSError(28, "No space left on device")
        return super().append(kind, body)

    async def sync(self) -> None:
        wanted = len(self.records)
        await asyncio.sleep(0.01)  # others go on meanwhile
        self._synced = max(self._synced, wanted)

    def durable(self, kind: Kind, step: str) -> bool:
        """Is there such a record on the disk, or can there be none because the disk is full?"""
        on_disk = any(one.kind is kind and one.body.get("step") == step for one in self.records[: self._synced])
        return on_disk or self.full_from is not None

    def close(self) -> None:
        os.close(self._file)  # no disk is waited for

    def power_off(self, lost: int) -> None:
        """What was not synced may be gone, from the end."""
        kept = self.records[: max(self._synced, len(self.records) - lost)]
        self.close()
        self.path.write_bytes(b"".join(record.line() for record in kept))


@dataclass(frozen=True)
class Ran:
    """What came of one run: None where the process died."""

    outcome: Outcome | None
    steps: tuple[StepOutcome, ...] = ()


def once(shapes: Sequence[Shape], world: World, path: Path, weather: Weather) -> Ran:
    """One process: from taking up the journal to its end or death."""

    def trip(step: str, phase: str) -> None:
        if (step, phase) == weather.die_at:
            raise Died

    async def main() -> Ran:
        clock = SystemClock()
        journal = Volatile.reopen(path, clock) if path.exists() else Volatile(path, clock)
        assert isinstance(journal, Volatile)
        journal.append(Kind.RESUMED if journal.records else Kind.OPENED, {})
        await journal.sync()
        journal.full_from = None if weather.full_from is None else len(journal.records) + weather.full_from
        steps = [Generated(shape, world, weather, journal) for shape in shapes]
        try:
            outcome, ended = await Engine(steps, journal, clock, ignore, {}, trip).run(lambda _: {})
        except (BaseExceptionGroup, Died) as end:
            deaths = end.split(Died)[1] if isinstance(end, BaseExceptionGroup) else None
            assert deaths is None, "only a death ends a run without an outcome"
            journal.power_off(weather.lost)
            return Ran(None)
        journal.close()
        return Ran(outcome, ended)

    return loop.run(main())


@st.composite
def shapes(draw: st.DrawFn) -> tuple[Shape, ...]:
    """A procedure: up to seven steps, one of them the point of no return, needs and follows at random."""
    size = draw(st.integers(2, 7))
    turn = draw(st.integers(0, size - 1))
    found: list[Shape] = []
    for number in range(size):
        before = [one.name for one in found]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=2)) if before else []
        # What is waited for must come before it in the list here: a circle is refused nowhere, and would hang.
        others = [name for name in before if name not in needs]
        follows = draw(st.lists(st.sampled_from(others), unique=True, max_size=1)) if others else []
        essential = number == turn or draw(st.integers(0, 4)) > 0
        found.append(Shape(f"s{number}", tuple(needs), tuple(follows), essential, number == turn))
    return tuple(found)


PHASES = ("before-intent", "intent", "applied", "verified")
_SEEING = (Mood.REFUSED, Mood.HANGS, Mood.BUG, Mood.DIES)
_PASSED = (Mood.AFTER_ALL, Mood.UNSEEN, Mood.HANGS_DONE)


def weather(random: Random, procedure: Sequence[Shape]) -> Weather:
    """Trouble for some acts, looks and undos; a death, a full disk, records lost."""
    names = [one.name for one in procedure]

    def some(most: int, moods: Sequence[Mood]) -> dict[str, Mood]:
        return {random.choice(names): random.choice(moods) for _ in range(random.randint(0, most))}

    return Weather(
        act=some(2, tuple(Mood)),
        check=some(1, _SEEING),
        undo=some(1, tuple(Mood)),
        die_at=(random.choice(names), random.choice(PHASES)) if random.random() < 0.2 else None,
        full_from=random.randint(0, 10) if random.random() < 0.15 else None,
        lost=random.randint(0, 20),
    )


def passed(random: Random, procedure: Sequence[Shape]) -> Weather:
    """The run that a random one seldom is: the turning point happens, and the run knows nothing of it or ends there."""
    turn = next(one.name for one in procedure if one.turn)
    lost = random.randint(0, 20)
    if random.random() < 0.5:
        return Weather(act={turn: random.choice(_PASSED)}, lost=lost)
    return Weather(die_at=(turn, random.choice(("applied", "verified"))), lost=lost)


@st.composite
def troubles(draw: st.DrawFn) -> tuple[tuple[Shape, ...], list[Weather]]:
    """A procedure and the weather of one run after the other."""
    made = draw(shapes())
    random = draw(st.randoms(use_true_random=False, note_method_calls=False))
    first = draw(st.sampled_from([weather, passed]))
    return made, [first(random, made), *(weather(random, made) for _ in range(draw(st.integers(0, 3))))]


WELL = Weather()
FINAL = (Outcome.COMPLETED, Outcome.ROLLED_BACK)
WENT_WELL = (StepResult.DONE, StepResult.ALREADY)
