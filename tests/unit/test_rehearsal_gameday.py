"""A game day takes its fault back whatever happens behind it, and says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli.schemas import conforms
from secondsite.clock import SystemClock
from secondsite.errors import FinalError, HalfwayError, SecondsiteError
from secondsite.events import Emit, Event, Note, Result, ignore
from secondsite.evidence.write import write
from secondsite.process import Completed
from secondsite.rehearsal import diary, gameday, heal, leftovers, observer, probe
from secondsite.rehearsal.account import Account
from secondsite.rehearsal.felt import Attempt
from secondsite.rehearsal.standing import standing
from secondsite.spec import Spec
from tests.unit.test_recovery_failover import context


def spec() -> Spec:
    made = context().spec
    oslo = made.sites["oslo"]
    power = oslo.power.model_copy(update={"off": ("off",), "on": ("on",)})
    return made.model_copy(update={"sites": {**made.sites, "oslo": oslo.model_copy(update={"power": power})}})


class World:
    """Two sites: whether oslo has power, and how a failover at bergen ends."""

    def __init__(self) -> None:
        self.power, self.comes_back = True, True
        self.ran: list[str] = []
        self.full = False
        self.failover: Callable[[], Result] = lambda: Result({"error": "procedure-running", "message": "busy"}, 3)


class Connection:
    def abort(self) -> None:
        """The fault comes over it."""


class Host:
    def __init__(self, world: World, site: str) -> None:
        self.world, self.site, self.connection = world, site, Connection()

    async def run(self, script: str, **_: Any) -> Completed:
        assert self.site == "bergen" and "mktemp /var/lib/secondsite/journal" in script
        return Completed(("sh",), 1 if self.world.full else 0, "", "No space left on device")


class Observer:
    def __init__(self, host: Host) -> None:
        self.host = host

    async def status(self) -> dict[str, Any]:
        roles = {"oslo": "primary" if self.host.world.power else "unknown", "bergen": "standby"}
        return {
            "ready": True,
            "findings": [],
            "sites": {site: {"role": role, "reachable": role != "unknown"} for site, role in roles.items()},
        }

    async def until_noticed(self, *_: Any, **__: Any) -> tuple[str, dict[str, Any]]:
        return "oslo does not answer", {}

    async def ask(self, _: str) -> dict[str, Any]:
        if not self.host.world.power:
            raise FinalError("oslo is silent")
        return {"database": {"role": "primary"}, "agent_running": True, "guard_reason": None}


class Customer:
    def __init__(self, log: Path) -> None:
        self.log = log
        log.write_bytes(b"")

    def attempts(self) -> list[Attempt]:
        return []

    async def end(self) -> None:
        """It has bought nothing."""

    async def verify(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()

    @asynccontextmanager
    async def reach(site: str) -> AsyncIterator[Host]:
        yield Host(made, site)

    @asynccontextmanager
    async def customer(_: Any, log: Path) -> AsyncIterator[Customer]:
        yield Customer(log)

    async def run(argv: Any, **_: Any) -> Completed:
        await asyncio.sleep(0)  # where an interrupt is heard
        made.ran.append(argv[0])
        made.power = argv[0] == "on" and made.comes_back
        return Completed(tuple(argv), 0, "", "")

    async def carry_out_there(*_: Any, **__: Any) -> Result:
        return made.failover()

    async def look(_: Any, sites: Any) -> dict[str, leftovers.Left]:
        return {site: leftovers.Left() for site in sites}

    for name, fake in {
        "reach": reach, "target_of": lambda _, site: site, "Observer": Observer, "run": run,
        "carry_out_there": carry_out_there, "SERVED_SECONDS": 0.0, "SETTLE_SECONDS": 0.0, "RETURN_SECONDS": 0.2,
    }.items():  # fmt: skip
        for room in (gameday, heal):
            if hasattr(room, name):
                monkeypatch.setattr(room, name, fake)
    monkeypatch.setattr(probe, "program", lambda _: ("customer",))
    monkeypatch.setattr(probe, "customer", customer)
    monkeypatch.setattr(leftovers, "look", look)
    return made


class Bare:
    """A host to which apply has brought nothing yet."""

    site = "oslo"

    async def run(self, script: str, **_: Any) -> Completed:
        return Completed(("sh",), 127, "", "sh: 1: exec: /usr/local/bin/secondsite: not found")


async def test_before_the_first_apply_the_next_command_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gameday, "Observer", lambda _: observer.Observer(Bare()))  # type: ignore[arg-type]
    with pytest.raises(FinalError, match="is not installed there") as refused:
        await held(Path("never written"))
    assert (refused.value.slug, refused.value.host) == ("not-applied", "oslo")
    assert refused.value.hint is not None and "secondsite apply" in refused.value.hint
    assert world.ran == []


async def held(work: Path, *, return_power: bool = True, emit: Emit = ignore) -> Account:
    plan = diary.Plan("power-off", 0.0, "", lambda _: None, return_power)
    return await gameday.hold(spec(), plan, config_sha256="", work=work, emit=emit, clock=SystemClock())


def raising(failure: BaseException) -> Callable[[], Result]:
    def fail() -> Result:
        raise failure

    return fail


@pytest.mark.parametrize(
    "failover",
    [
        lambda: Result({"error": "journal-unwritable", "message": "the disk is full"}, 3),
        raising(HalfwayError("the connection broke")),
        raising(SecondsiteError("bergen does not answer")),
        raising(RuntimeError("a bug")),
        raising(asyncio.CancelledError()),
    ],
)
@pytest.mark.parametrize("return_power", [True, False])
async def test_whatever_happens_behind_the_fault_it_is_taken_back_and_reported(
    world: World, tmp_path: Path, failover: Callable[[], Result], return_power: bool
) -> None:
    world.failover = failover
    account = await held(tmp_path, return_power=return_power)
    assert world.ran == ["off", "on"] and world.power
    checks = {check["name"]: check["passed"] for check in account.document["checks"]}
    assert checks["the failover was carried out"] is False
    assert checks["the fault is taken back, and the primary serves again"] is True
    assert not account.document["verdict"]["passed"]
    assert account.halfway is False
    written, _ = write(account.document, tmp_path / "report", account.evidence)
    conforms("report", json.loads(written.read_text()))
    assert "oslo gets its power back" in account.document["scenario"]["undo"]


async def test_a_primary_that_does_not_come_back_needs_a_person(world: World, tmp_path: Path) -> None:
    world.comes_back = False
    account = await held(tmp_path)
    assert world.ran == ["off", "on"]
    assert account.halfway is True


async def test_nothing_is_broken_where_the_standby_could_not_write_its_journal(world: World, tmp_path: Path) -> None:
    world.full = True
    with pytest.raises(FinalError) as refused:
        await held(tmp_path)
    assert refused.value.slug == "journal-unwritable" and "No space left" in refused.value.message
    assert world.ran == [] and world.power


def said(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note) and event.text.startswith("interrupted")]


async def test_an_interrupt_says_that_the_fault_still_stands_and_what_ends_it(world: World, tmp_path: Path) -> None:
    events: list[Event] = []
    world.failover = raising(asyncio.CancelledError())
    await held(tmp_path, emit=events.append)
    (told,) = said(events)
    assert 'still in place at oslo ("The host loses its power")' in told and "this ends it now: on." in told
    assert "a second Ctrl-C" in told


async def test_a_second_interrupt_ends_the_game_day_and_says_again_what_it_leaves_behind(
    world: World, tmp_path: Path
) -> None:
    events: list[Event] = []
    world.failover = raising(asyncio.CancelledError())

    def press(event: Event) -> None:
        events.append(event)
        if isinstance(event, Note) and event.text == "oslo gets its power back":
            task.cancel()

    task = asyncio.ensure_future(held(tmp_path, emit=press))
    with pytest.raises(asyncio.CancelledError):
        await task
    first, second = said(events)
    assert first.startswith("interrupted: ") and second.startswith("interrupted again: the fault is still in place")
    assert world.ran == ["off"]


async def test_an_interrupt_while_the_fault_is_taken_back_does_not_stop_that(world: World, tmp_path: Path) -> None:
    events: list[Event] = []
    pressed = False

    def press(event: Event) -> None:
        nonlocal pressed
        events.append(event)
        if not pressed and isinstance(event, Note) and event.text == "oslo gets its power back":
            pressed = task.cancel()

    task = asyncio.ensure_future(held(tmp_path, emit=press))
    account = await task
    assert pressed and len(said(events)) == 1
    assert world.power and account.document["scenario"]["undo"]


@pytest.mark.parametrize("fault", ["interface-down", "postgres-port-blocked"])
def test_a_fault_with_a_timer_names_when_it_ends_and_the_command_on_the_host(fault: str) -> None:
    at = 1_793_000_000.0
    told = standing(fault, "oslo", until=at + 60, now=at)
    assert "its timer on the host ends it by 07:34:20 UTC" in told
    assert told.endswith(f"secondsite fault {fault} --undo")
    assert "was due at" in standing(fault, "oslo", until=at - 1, now=at)


def test_nothing_but_a_person_ends_a_power_cut_of_which_the_file_names_no_end() -> None:
    told = standing("power-off", "oslo", until=0, now=1)
    assert "nothing ends it by itself" in told and "the file names no command" in told
