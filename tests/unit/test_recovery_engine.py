"""The engine: order, parallel steps, rollback before the turning point, and going on after a death anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from secondsite.clock import SystemClock
from secondsite.errors import FinalError, UnknownOutcomeError
from secondsite.events import Emit, Event, Note, ignore
from secondsite.recovery.engine import Engine, Outcome, position
from secondsite.recovery.journal import Journal, Kind, Record, Unwritable, read
from secondsite.recovery.step import Details, Step, StepOutcome, StepResult
from tests.fakes.journal import FullDisk


class World:
    """What the steps change; it outlives the process that runs them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.undone: list[str] = []
        self.log: list[str] = []
        self.broken: set[str] = set()


class Act(Step):
    world: World
    delay: ClassVar[float] = 0.0

    def __init__(self, world: World) -> None:
        super().__init__("bergen")
        self.world = world

    async def check(self) -> Details | None:
        return {} if self.name in self.world.done else None

    async def apply(self, emit: Emit) -> Details:
        self.world.log.append(f"{self.name} begins")
        await asyncio.sleep(self.delay)
        if self.name in self.world.broken:
            raise FinalError(f"{self.name} is broken")
        self.world.done.append(self.name)
        self.world.log.append(f"{self.name} ends")
        return {"by": self.name}

    async def undo(self) -> None:
        if self.name in self.world.done:
            self.world.done.remove(self.name)
        self.world.undone.append(self.name)


class Look(Act):
    name, title = "look", "Look"


class Fence(Act):
    name, title, needs = "fence", "Fence", ("look",)


class Turn(Act):
    name, title, point_of_no_return = "turn", "Turn", True


class Dns(Act):
    name, title, delay = "dns", "Dns", 0.02


class App(Act):
    name, title, delay = "app", "App", 0.02


class Tidy(Act):
    name, title, needs, essential = "tidy", "Tidy", ("app",), False


ALL: tuple[type[Act], ...] = (Look, Fence, Turn, Dns, App, Tidy)


class Died(BaseException):
    """The process is gone: nothing catches this."""


async def run(
    world: World, path: Path, die_at: str | None = None, kinds: Sequence[type[Act]] = ALL
) -> tuple[Outcome, tuple[StepOutcome, ...]]:
    def trip(step: str, phase: str) -> None:
        if f"{step}:{phase}" == die_at:
            raise Died

    journal = Journal.reopen(path, SystemClock()) if path.exists() else Journal(path, SystemClock())
    journal.append(Kind.RESUMED if journal.records else Kind.OPENED, {})
    steps = [kind(world) for kind in kinds]
    try:
        return await Engine(steps, journal, SystemClock(), ignore, {}, trip).run(lambda _: {})
    finally:
        journal.close()


async def test_independent_steps_run_at_the_same_time_and_the_turning_point_waits_for_all(tmp_path: Path) -> None:
    class Patient(Dns):
        async def apply(self, emit: Emit) -> Details:
            # For ever, where one step waited for the other to end.
            while "app begins" not in self.world.log:  # noqa: ASYNC110 - nobody tells when it begins
                await asyncio.sleep(0)
            return await super().apply(emit)

    world = World()
    kinds = tuple(Patient if kind is Dns else kind for kind in ALL)
    async with asyncio.timeout(30):
        outcome, _ = await run(world, tmp_path / "j", kinds=kinds)
    assert outcome is Outcome.COMPLETED
    assert world.log.index("turn begins") > world.log.index("fence ends")
    assert world.log.index("app begins") < world.log.index("dns ends")
    assert world.log.index("tidy begins") > world.log.index("app ends")


@pytest.mark.parametrize("broken", ["look", "fence", "turn"])
async def test_a_failure_before_the_turning_point_takes_everything_back(tmp_path: Path, broken: str) -> None:
    world = World()
    world.broken = {broken}
    outcome, steps = await run(world, tmp_path / "j")
    assert outcome is Outcome.ROLLED_BACK
    assert world.done == []
    assert {step.name: step.result for step in steps}["app"] is StepResult.SKIPPED


async def test_a_failure_behind_the_turning_point_leaves_the_other_steps_running_and_takes_nothing_back(
    tmp_path: Path,
) -> None:
    world = World()
    world.broken = {"dns"}
    outcome, _steps = await run(world, tmp_path / "j")
    assert outcome is Outcome.BLOCKED
    assert world.undone == []
    assert "app" in world.done and "tidy" in world.done
    world.broken = set()
    outcome, _steps = await run(world, tmp_path / "j")
    assert outcome is Outcome.COMPLETED
    assert world.done.count("turn") == 1


async def test_a_step_that_only_follows_waits_for_the_others_and_runs_even_where_they_fail(tmp_path: Path) -> None:
    class After(Act):
        name, title, follows = "after", "After", ("dns", "app")

    world = World()
    world.broken = {"dns"}
    outcome, _ = await run(world, tmp_path / "j", kinds=(Look, Turn, After, Dns, App))
    assert outcome is Outcome.BLOCKED
    assert world.log.index("after begins") > world.log.index("app ends")
    assert "after" in world.done


async def test_a_step_that_is_not_essential_may_fail(tmp_path: Path) -> None:
    world = World()
    world.broken = {"tidy"}
    outcome, steps = await run(world, tmp_path / "j")
    assert outcome is Outcome.COMPLETED
    assert steps[-1].result is StepResult.FAILED


PLACES = [f"{kind.name}:{phase}" for kind in ALL for phase in ("before-intent", "intent", "applied", "verified")]


@pytest.mark.parametrize("place", PLACES)
async def test_a_procedure_that_died_anywhere_is_finished_by_the_next_run_and_nothing_happens_twice(
    tmp_path: Path, place: str
) -> None:
    world, path = World(), tmp_path / "j"
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at=place)
    outcome, steps = await run(world, path)
    assert outcome is Outcome.COMPLETED
    assert sorted(world.done) == sorted(kind.name for kind in ALL)
    assert all(step.result in (StepResult.DONE, StepResult.ALREADY) for step in steps)


async def test_an_intent_is_on_the_disk_before_the_step_acts(tmp_path: Path) -> None:
    seen: list[frozenset[str]] = []

    class Spy(Act):
        name, title, point_of_no_return = "spy", "Spy", True

        async def apply(self, emit: Emit) -> Details:
            seen.append(position(read(tmp_path / "j").records).begun)
            return {}

    await run(World(), tmp_path / "j", kinds=(Spy,))
    assert seen == [frozenset({"spy"})]


async def test_when_nobody_can_tell_whether_the_turning_point_was_passed_nothing_is_taken_back(tmp_path: Path) -> None:
    class Blind(Turn):
        async def check(self) -> Details | None:
            if "begun" in self.world.done:
                raise FinalError("the database does not answer")
            return None

        async def apply(self, emit: Emit) -> Details:
            self.world.done.append("begun")
            raise FinalError("lost the connection")

    world = World()
    outcome, _ = await run(world, tmp_path / "j", kinds=(Look, Fence, Blind, App))
    assert outcome is Outcome.BLOCKED
    assert world.undone == []


async def test_a_turning_point_that_was_asked_for_and_not_seen_is_never_taken_back(tmp_path: Path) -> None:
    class Unseen(Turn):
        async def apply(self, emit: Emit) -> Details:
            raise UnknownOutcomeError("still in recovery")

    world = World()
    outcome, _ = await run(world, tmp_path / "j", kinds=(Look, Fence, Unseen, App))
    assert outcome is Outcome.BLOCKED
    assert world.undone == []


async def test_what_was_done_before_a_turning_point_that_was_not_reached_is_done_again(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "j"
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at="turn:before-intent")
    world.done.remove("fence")  # somebody has opened the old primary again
    outcome, _ = await run(world, path)
    assert outcome is Outcome.COMPLETED
    assert "fence" in world.done


async def test_a_full_disk_behind_the_turning_point_stops_no_other_step(tmp_path: Path) -> None:
    class Full(Journal):
        def append(self, kind: Kind, body: Mapping[str, Any]) -> Record:
            if kind is Kind.RESULT and body["step"] == "turn":
                raise OSError(28, "No space left on device")
            return super().append(kind, body)

    world = World()
    journal = Full(tmp_path / "j", SystemClock())
    journal.append(Kind.OPENED, {})
    steps = [kind(world) for kind in ALL]
    outcome, _ = await Engine(steps, journal, SystemClock(), ignore, {}).run(lambda _: {})
    assert outcome is Outcome.COMPLETED
    assert {"dns", "app"} <= set(world.done)


async def test_taken_up_while_nobody_can_tell_how_far_it_came_it_stops_in_words(tmp_path: Path) -> None:
    class Silent(Turn):
        async def check(self) -> Details | None:
            if "silent" in self.world.broken:
                raise FinalError("the database does not answer")
            return await super().check()

    world, path = World(), tmp_path / "j"
    kinds = (Look, Fence, Silent, App)
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at="turn:intent", kinds=kinds)
    world.broken = {"silent"}
    outcome, steps = await run(world, path, kinds=kinds)
    assert outcome is Outcome.BLOCKED
    assert [step.error.message for step in steps if step.error] == ["the database does not answer"]
    world.broken = set()
    assert (await run(world, path, kinds=kinds))[0] is Outcome.COMPLETED


async def test_what_a_turning_point_left_is_known_to_later_steps_even_when_its_result_was_lost(tmp_path: Path) -> None:
    class Told(Turn):
        async def check(self) -> Details | None:
            return {"timeline": 2} if self.name in self.world.done else None

    world, path = World(), tmp_path / "j"
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at="turn:applied", kinds=(Look, Told, App))
    details: dict[str, Details] = {}
    journal = Journal.reopen(path, SystemClock())
    steps = [kind(world) for kind in (Look, Told, App)]
    outcome, _ = await Engine(steps, journal, SystemClock(), ignore, details).run(lambda _: {})
    assert outcome is Outcome.COMPLETED
    assert details["turn"] == {"timeline": 2}
    assert world.done.count("turn") == 1


async def test_a_promotion_whose_intent_the_disk_has_lost_is_not_taken_back(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "j"
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at="turn:applied", kinds=(Look, Fence, Turn, App))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"turn"' not in line))
    world.done.remove("fence")
    world.broken = {"fence"}
    outcome, _ = await run(world, path, kinds=(Look, Fence, Turn, App))
    assert world.undone == []
    assert outcome is Outcome.COMPLETED, "what lies before a promotion has done its part"
    assert world.log.count("turn begins") == 1


async def test_a_turning_point_that_was_asked_for_before_a_death_and_comes_late_is_not_taken_back(
    tmp_path: Path,
) -> None:
    class Late(Turn):
        looks = 0

        async def check(self) -> Details | None:
            Late.looks += 1
            return None if Late.looks <= 2 else {"timeline": 2}  # before the death, and when it is taken up

    world, path = World(), tmp_path / "j"
    kinds = (Look, Fence, Late, App)
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at="turn:intent", kinds=kinds)
    world.done.remove("fence")
    world.broken = {"fence"}
    outcome, _ = await run(world, path, kinds=kinds)
    assert outcome is Outcome.BLOCKED
    assert world.undone == []
    world.broken = set()
    assert (await run(world, path, kinds=kinds))[0] is Outcome.COMPLETED


async def test_what_the_world_denies_behind_the_turning_point_is_done_again_and_the_rest_is_not(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "j"
    world.broken = {"dns"}
    assert (await run(world, path))[0] is Outcome.BLOCKED
    world.broken = set()
    world.done.remove("app")  # the host was restarted meanwhile
    outcome, steps = await run(world, path)
    assert outcome is Outcome.COMPLETED
    assert world.log.count("app ends") == 2
    assert world.log.count("turn ends") == 1
    results = {step.name: step.result for step in steps}
    assert (results["turn"], results["app"]) == (StepResult.ALREADY, StepResult.DONE)


async def test_a_turning_point_that_the_world_denies_is_never_believed_and_never_passed_anew(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "j"
    world.broken = {"dns"}
    await run(world, path)
    world.broken = set()
    world.done.remove("turn")
    for _ in range(2):  # and what was found then is no reason to take anything back later
        outcome, steps = await run(world, path)
        assert outcome is Outcome.BLOCKED
        assert [step.error.slug for step in steps if step.error] == ["promotion-gone"]
        assert {step.name: step.result for step in steps}["dns"] is StepResult.SKIPPED
        assert world.undone == []
        assert world.log.count("turn begins") == 1
    world.done.append("turn")
    assert (await run(world, path))[0] is Outcome.COMPLETED


async def test_a_turning_point_can_be_made_so_again(tmp_path: Path) -> None:
    class Held(Turn):
        async def again(self, before: Details, emit: Emit) -> Details:
            self.world.done.append(self.name)
            return {"was": dict(before)}

    world, path = World(), tmp_path / "j"
    world.broken = {"dns"}
    kinds = (Look, Fence, Held, Dns, App)
    await run(world, path, kinds=kinds)
    world.broken = set()
    world.done.remove("turn")
    outcome, steps = await run(world, path, kinds=kinds)
    assert outcome is Outcome.COMPLETED
    assert {step.name: step.details for step in steps}["turn"]["was"] == {"by": "turn"}


@pytest.mark.parametrize("step", ["look", "fence", "turn"])
async def test_a_disk_that_is_full_before_the_turning_point_ends_it_in_words(tmp_path: Path, step: str) -> None:
    class Full(FullDisk):
        since = (Kind.INTENT, step)

    world = World()
    steps = [kind(world) for kind in ALL]
    outcome, ended = await Engine(steps, Full(tmp_path / "j", SystemClock()), SystemClock(), ignore, {}).run(
        lambda _: {}
    )
    assert outcome is Outcome.ROLLED_BACK
    assert world.done == []
    (error,) = [one.error for one in ended if one.error]
    assert error.slug == "journal-unwritable"
    assert str(tmp_path / "j") in error.message and "No space left" in error.message
    assert error.hint == f"df -h {tmp_path}; make room, then repeat"


@pytest.mark.parametrize("since", [(Kind.RESULT, "turn"), (Kind.INTENT, "dns"), (Kind.INTENT, "tidy")])
async def test_a_disk_that_is_full_behind_the_turning_point_is_told_and_every_step_is_done(
    tmp_path: Path, since: tuple[Kind, str]
) -> None:
    class Full(FullDisk):
        pass

    Full.since = since
    world, told = World(), list[Event]()
    steps = [kind(world) for kind in ALL]
    outcome, _ = await Engine(steps, Full(tmp_path / "j", SystemClock()), SystemClock(), told.append, {}).run(
        lambda _: {}
    )
    assert outcome is Outcome.COMPLETED
    assert set(world.done) == {kind.name for kind in ALL}
    (note,) = [event for event in told if isinstance(event, Note)]
    assert note.level == "error" and "No space left" in note.text


async def test_taken_up_behind_the_turning_point_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "j"
    world.broken = {"dns"}
    await run(world, path)
    world.broken = set()
    journal = Unwritable(path, SystemClock(), read(path).records, OSError(30, "Read-only file system"))
    steps = [kind(world) for kind in ALL]
    outcome, _ = await Engine(steps, journal, SystemClock(), ignore, {}).run(lambda _: {})
    assert outcome is Outcome.COMPLETED
    assert "dns" in world.done


async def test_what_an_earlier_run_began_and_nobody_took_back_is_taken_back_by_a_later_one(tmp_path: Path) -> None:
    class Dead(Fence):
        async def undo(self) -> None:
            raise Died  # the process ends within its rollback

    world, path = World(), tmp_path / "j"
    world.broken = {"turn"}
    with pytest.raises(Died):
        await run(world, path, kinds=(Look, Dead, Turn, App))
    world.broken = {"look"}
    world.done.remove("look")
    outcome, _ = await run(world, path, kinds=(Look, Fence, Turn, App))
    assert outcome is Outcome.ROLLED_BACK
    assert "fence" not in world.done


async def test_what_cannot_be_taken_back_is_among_the_errors(tmp_path: Path) -> None:
    class Stuck(Fence):
        async def undo(self) -> None:
            raise FinalError("oslo stays fenced", hint="secondsite guard --allow")

    world = World()
    world.broken = {"turn"}
    outcome, steps = await run(world, tmp_path / "j", kinds=(Look, Stuck, Turn, App))
    assert outcome is Outcome.FAILED
    assert "oslo stays fenced" in {step.error.message for step in steps if step.error}


class Asked(Turn):
    """It was asked for, it happened, and nobody saw it."""

    async def apply(self, emit: Emit) -> Details:
        await super().apply(emit)
        raise UnknownOutcomeError("no answer")


class Blinded(Fence):
    """A step before the turning point that cannot even look while it is broken."""

    async def check(self) -> Details | None:
        if self.name in self.world.broken:
            raise FinalError("the other site does not answer")
        return await super().check()


async def test_a_turning_point_that_an_earlier_run_has_asked_for_is_looked_for_before_anything_is_taken_back(
    tmp_path: Path,
) -> None:
    world, path = World(), tmp_path / "j"
    kinds = (Look, Blinded, Asked, App)
    assert (await run(world, path, kinds=kinds))[0] is Outcome.BLOCKED
    world.broken = {"fence"}
    outcome, _ = await run(world, path, kinds=kinds)
    assert world.undone == []
    assert outcome is Outcome.COMPLETED, "what lies before a turning point that was passed has done its part"


async def test_taken_up_a_turning_point_that_gives_no_answer_does_not_hold_everything_up(tmp_path: Path) -> None:
    class Mute(Turn):
        timeout_seconds = 0.05
        mute: ClassVar[bool] = True

        async def check(self) -> Details | None:
            if "asked" in self.world.log and self.mute:
                await asyncio.sleep(3600)
            return await super().check()

    world, path = World(), tmp_path / "j"
    kinds = (Look, Fence, Mute, App)
    with pytest.raises(BaseExceptionGroup):  # in a task of its own: another process
        await asyncio.create_task(run(world, path, die_at="turn:intent", kinds=kinds))
    world.log.append("asked")
    assert (await run(world, path, kinds=kinds))[0] is Outcome.BLOCKED
    assert world.undone == []
    Mute.mute, Mute.timeout_seconds = False, 30.0
    assert (await run(world, path, kinds=kinds))[0] is Outcome.COMPLETED


async def test_a_mistake_in_the_turning_points_look_is_told_and_ends_nothing_without_an_outcome(tmp_path: Path) -> None:
    class Wrong(Turn):
        async def check(self) -> Details | None:
            if "wrong" in self.world.broken:
                raise ZeroDivisionError("a bug")
            return await super().check()

    world, path = World(), tmp_path / "j"
    kinds = (Look, Fence, Wrong, App)
    with pytest.raises(BaseExceptionGroup):
        await run(world, path, die_at="turn:applied", kinds=kinds)
    world.broken = {"wrong"}
    assert (await run(world, path, kinds=kinds))[0] is Outcome.BLOCKED
    world.broken = set()
    assert (await run(world, path, kinds=kinds))[0] is Outcome.COMPLETED
    assert world.undone == []
