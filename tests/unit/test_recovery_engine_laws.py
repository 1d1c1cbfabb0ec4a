"""What the engine owes every procedure in every weather: generated steps, generated trouble, killed and taken up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings

from secondsite.recovery.engine import Outcome
from secondsite.recovery.step import StepResult
from tests.fakes.disk import in_memory
from tests.unit.procedure_worlds import (
    FINAL,
    WELL,
    WENT_WELL,
    WORK,
    Ran,
    Shape,
    Weather,
    World,
    once,
    shapes,
    troubles,
)

many = settings(max_examples=70)
Trouble = tuple[tuple[Shape, ...], list[Weather]]


@contextmanager
def journal() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder / "j.jsonl"


def lived(procedure: Sequence[Shape], weather: Sequence[Weather], world: World, path: Path) -> Iterator[Ran]:
    """Run after run, as a person takes a procedure up again, until it has ended for good."""
    for one in weather:
        ran = once(procedure, world, path, one)
        yield ran
        if ran.outcome in FINAL:
            return


def turn_of(procedure: Sequence[Shape]) -> str:
    return next(one.name for one in procedure if one.turn)


def up_to_the_turn(procedure: Sequence[Shape]) -> set[str]:
    names = [one.name for one in procedure]
    return set(names[: names.index(turn_of(procedure)) + 1])


@many
@given(troubles())
def test_nothing_is_ever_taken_back_once_the_turning_point_was_passed(trouble: Trouble) -> None:
    procedure, weather = trouble
    world = World()
    with journal() as path:
        for _ in lived(procedure, weather, world, path):
            pass
    turn = turn_of(procedure)
    passed = world.log.index(("so", turn)) if ("so", turn) in world.log else len(world.log)
    assert "undo" not in {what for what, _ in world.log[passed:]}


@many
@given(troubles())
def test_a_run_that_did_not_die_says_what_is_so(trouble: Trouble) -> None:
    procedure, weather = trouble
    world = World()
    essential = {one.name for one in procedure if one.essential}
    with journal() as path:
        for ran in lived(procedure, weather, world, path):
            match ran.outcome:
                case Outcome.COMPLETED:
                    assert essential <= world.so
                case Outcome.ROLLED_BACK:
                    assert not world.so
                case Outcome.FAILED:
                    assert turn_of(procedure) not in world.so
                    assert any(step.error for step in ran.steps)
                case Outcome.BLOCKED:
                    assert any(step.result is StepResult.FAILED and step.error for step in ran.steps)
                case None:
                    pass


@many
@given(troubles())
def test_in_good_weather_what_was_left_half_way_is_completed(trouble: Trouble) -> None:
    """Whatever happened before: one more run ends it, and the world is whole or as it was at the start."""
    procedure, weather = trouble
    world = World()
    with journal() as path:
        last = list(lived(procedure, weather, world, path))[-1]
        if last.outcome not in FINAL:
            last = once(procedure, world, path, WELL)
        if last.outcome is Outcome.ROLLED_BACK:
            assert not world.so
            return
        assert last.outcome is Outcome.COMPLETED
        assert {one.name for one in procedure if one.essential} <= world.so


@many
@given(troubles())
def test_what_is_so_is_not_done_again(trouble: Trouble) -> None:
    procedure, weather = trouble
    world = World()
    with journal() as path:
        for _ in lived(procedure, weather, world, path):
            pass
    for name in {one.name for one in procedure}:
        undone = world.log.count(("undo", name))
        assert world.applied.count(name) <= 1 + undone


@many
@given(troubles())
def test_a_step_acts_only_after_what_it_needs_and_follows(trouble: Trouble) -> None:
    procedure, weather = trouble
    world = World()
    with journal() as path:
        ran = once(procedure, world, path, weather[0])
    if ran.outcome in (None, Outcome.FAILED):  # the latter says of a step how it was taken back, not how it went
        return
    result = {step.name: step.result for step in ran.steps}
    essential = {one.name: one.essential for one in procedure}
    began, ended = times(ran)
    for index, one in enumerate(procedure):
        if one.name not in began:
            continue
        turn = turn_of(procedure)
        behind = {turn} if index > [each.name for each in procedure].index(turn) else set()
        needs = {each.name for each in procedure[:index]} if one.turn else {*one.needs, *behind}
        for need in needs:
            assert result[need] in WENT_WELL or (result[need] is StepResult.FAILED and not essential[need])
        for before in {*needs, *one.follows} & set(ended):
            assert ended[before] <= began[one.name]


def times(ran: Ran) -> tuple[dict[str, str], dict[str, str]]:
    began = {step.name: step.started_at for step in ran.steps if step.started_at}
    return began, {step.name: step.ended_at or "" for step in ran.steps if step.name in began}


@many
@given(troubles())
def test_taking_back_goes_from_the_last_step_to_the_first_and_each_once(trouble: Trouble) -> None:
    procedure, weather = trouble
    order = [one.name for one in procedure]
    world, begun = World(), 0
    with journal() as path:
        for _ in lived(procedure, weather, world, path):
            undone = [order.index(name) for what, name in world.log[begun:] if what == "undo"]
            assert undone == sorted(set(undone), reverse=True)
            assert {order[index] for index in undone} <= up_to_the_turn(procedure)
            begun = len(world.log)


@many
@given(shapes())
def test_in_good_weather_no_step_waits_for_anything_but_what_it_needs(procedure: tuple[Shape, ...]) -> None:
    world, order = World(), [one.name for one in procedure]
    with journal() as path:
        assert once(procedure, world, path, WELL).outcome is Outcome.COMPLETED
    turn = turn_of(procedure)
    for one in procedure:
        awaited = {*one.needs, *one.follows}
        if one.turn:
            awaited |= set(order[: order.index(turn)])
        elif order.index(one.name) > order.index(turn):
            awaited.add(turn)
        earliest = max((world.times[name][1] for name in awaited), default=0.0)
        assert earliest <= world.times[one.name][0] <= earliest + WORK / 2
