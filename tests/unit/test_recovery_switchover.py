"""The switchover's pure parts: its shape, its gate, its outage; and requests that come too late."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from secondsite import __version__
from secondsite.cli.views.procedure import lines, switchover_lines
from secondsite.clock import SystemClock
from secondsite.database.logical import LogicalSlots
from secondsite.database.movable import Movable
from secondsite.database.pooler.state import Pooled, PoolerState
from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.errors import FinalError, RetryableError
from secondsite.recovery.engine import Outcome
from secondsite.recovery.handover.close import refuse_wrong_generation
from secondsite.recovery.handover.serve import Handover
from secondsite.recovery.handover.stop import stop
from secondsite.recovery.handover.survey import Survey, from_json, to_json
from secondsite.recovery.journal import Journal, Kind
from secondsite.recovery.step import StepOutcome, StepResult
from secondsite.recovery.switchover.context import OldPrimary, SwitchoverArguments, SwitchoverContext
from secondsite.recovery.switchover.gate import CHECKS, Look, PoolerLook, faults, questions, refusal, silent_poolers
from secondsite.recovery.switchover.look import ask_there
from secondsite.recovery.switchover.outage import expected, loss, outage_seconds
from secondsite.recovery.switchover.plan import steps
from secondsite.recovery.switchover.run import context_of
from secondsite.recovery.switchover.step_down import Close
from secondsite.spec import paths
from tests.fakes.clock import SetClock
from tests.unit.objectives_worlds import spec as pooled_spec
from tests.unit.test_recovery_failover import context as failover_context

SPEC = failover_context().spec
SETTINGS = {"max_connections": "100", "max_wal_senders": "10", "wal_sender_timeout": "10000"}


def context() -> SwitchoverContext:
    arguments = SwitchoverArguments(to="bergen", commanded_at="2026-11-22T03:12:00Z")
    return context_of(SPEC, "bergen", arguments, SystemClock(), "id", {}, 0)


STANDBY = DatabaseState(Role.STANDBY, system_identifier="7", timeline=1, replayed=1000, streaming=Streaming.STREAMING)
PRIMARY = Movable(follower_state="streaming", slot="reserved", flushed=1000, settings=SETTINGS)
SURVEY = Survey(__version__, "oslo", Role.PRIMARY.value, 1, "7", PRIMARY, units_running=True)
RECORD = RecordState("example.test", "shop", (ServerAnswer("203.0.113.53"),), "oslo", ("oslo",))
SOUND = Look("bergen", "oslo", STANDBY, Movable(settings=SETTINGS), SURVEY, records=(RECORD,))


async def test_where_the_primary_is_silent_the_next_command_is_a_failover() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        peer = replace(context().peer, address="127.0.0.1", port=taken.getsockname()[1])
        asked = replace(context(), primary=OldPrimary(peer, "id", lambda: 1))
        with pytest.raises(RetryableError) as silent:
            await ask_there(asked)
    assert silent.value.slug == "peer-silent"
    assert str(silent.value.hint).startswith("if oslo is gone: secondsite failover --to bergen")


def test_nothing_stands_against_a_sound_pair() -> None:
    assert faults(SOUND) == ()
    assert refusal(()) is None


def there(**changes: Any) -> Look:
    return replace(SOUND, there=replace(SURVEY, **changes))


def database(**changes: Any) -> Look:
    return there(database=replace(PRIMARY, **changes))


def here(**changes: Any) -> Look:
    return replace(SOUND, state=replace(STANDBY, **changes))


POOLED = PoolerState((Pooled("shop", "10.10.0.1", "5432", paused=False, mode="transaction"),))
POOLED_THERE = PoolerState((replace(POOLED.databases[0], host="127.0.0.1"),))
BOUNCER = replace(
    SOUND,
    there=replace(SURVEY, pooler=POOLED_THERE),
    pooler=PoolerLook(POOLED, wanted_here="10.10.0.1", wanted_there="127.0.0.1", longest_transaction=2.0),
)


def bouncer(**changes: Any) -> Look:
    """Changes of the one database that PgBouncer has at the old primary."""
    found = replace(POOLED_THERE, databases=(replace(POOLED_THERE.databases[0], **changes),))
    return replace(BOUNCER, there=replace(BOUNCER.there, pooler=found))


TROUBLES: Mapping[str, Look] = {
    "PgBouncer cannot be asked: not described there": replace(BOUNCER, there=SURVEY),
    "PgBouncer cannot be asked: silent": replace(
        BOUNCER, there=replace(BOUNCER.there, pooler=PoolerState(reason="silent"))
    ),
    "does not include our file": replace(
        BOUNCER, there=replace(BOUNCER.there, pooler=replace(POOLED_THERE, included=False))
    ),
    "PgBouncer knows no database shop": replace(
        BOUNCER, there=replace(BOUNCER.there, pooler=PoolerState(missing=("shop",)))
    ),
    "PgBouncer does not look for shop at 127.0.0.1": bouncer(host="10.10.0.2"),
    "PgBouncer is paused: shop": bouncer(paused=True),
    "pools shop in sessions": bouncer(mode="session"),
    "open for 7 s": replace(BOUNCER, there=replace(BOUNCER.there, longest_transaction=7.2)),
    "primary already": here(role=Role.PRIMARY),
    "database is stopped": here(role=Role.STOPPED),
    "former primary": replace(SOUND, held=True),
    "nothing to move": there(role="standby"),
    "does not answer": there(problem="15/main does not answer"),
    "another database": there(system_identifier="8"),
    "on timeline 1, the primary on 2": there(timeline=2),
    "does not stream": here(streaming=Streaming.RECEIVER_DOWN),
    "not streaming: nobody": database(follower_state=None),
    "replay is paused": here(replay_paused=True, streaming=Streaming.PAUSED),
    "delayed on purpose": replace(SOUND, here=Movable(settings={**SETTINGS, "recovery_min_apply_delay": "5000"})),
    "17 MB of WAL behind": database(flushed=17_001_000),
    "max_connections is 100 at bergen and 50": database(settings={**SETTINGS, "max_connections": "50"}),
    "may wait for ever": database(settings={**SETTINGS, "wal_sender_timeout": "0"}),
    "slot of bergen is lost": database(slot="lost"),
    "slot of bergen is missing": database(slot=None),
    "base backup": database(backups_running=1),
    "prepared transaction": database(prepared_transactions=2),
    "archive command fails": database(archive_failing=True),
    "archive is behind": database(archive_waiting=6),
    "logical slot warehouse": database(logical=LogicalSlots(unmarked=("warehouse",))),
    "logical slot cdc": database(logical=LogicalSlots(marked=("cdc",))),
    "runs there": there(busy="failover to oslo"),
    "was not finished there": there(unfinished="20261122T031200Z-failover-1a2b"),
    "it is fenced": there(fenced="fenced by somebody"),
    "keeps bergen in quarantine": there(quarantines=True),
    "keeps oslo in quarantine": replace(SOUND, quarantines=True),
    "it runs secondsite 0.0.1": there(version="0.0.1"),
    "could not follow bergen afterwards": there(reverse="password authentication failed"),
    "no unit shop.service": replace(SOUND, missing_units=("shop.service",)),
    "application does not run there": there(units_running=False),
    "never copied": replace(SOUND, never_copied=("uploads",)),
    "points to bergen": replace(SOUND, records=(replace(RECORD, points_to="bergen"),)),
    "cannot be read": replace(SOUND, dns_may_differ=True, records=(replace(RECORD, key_problem="/k cannot be read"),)),
    "would not take the change": replace(SOUND, dns_refusals=("REFUSED",)),
}


@pytest.mark.parametrize("words", TROUBLES)
def test_each_trouble_is_a_fault_that_says_where_and_what_next(words: str) -> None:
    found = faults(TROUBLES[words])
    assert len(found) == 1, found
    assert words in found[0].message
    assert found[0].site in ("oslo", "bergen") and found[0].hint


def test_clients_that_wait_already_are_no_fault_of_a_move_that_made_them_wait() -> None:
    assert faults(BOUNCER) == ()
    waiting = bouncer(paused=True)
    assert faults(replace(waiting, midway=True)) == ()
    silent = replace(waiting, midway=True, there=replace(waiting.there, pooler=PoolerState(reason="silent")))
    assert faults(silent) == (), "nobody is served by it, and everything would be taken back"
    assert silent_poolers(silent) == (("oslo", "PgBouncer cannot be asked: silent"),)
    assert silent_poolers(waiting) == silent_poolers(SOUND) == ()


def test_a_logical_slot_that_the_standby_has_copied_moves_along() -> None:
    marked = replace(SOUND.there, database=replace(PRIMARY, logical=LogicalSlots(marked=("cdc",))))
    assert faults(replace(SOUND, there=marked, here=replace(SOUND.here, logical=LogicalSlots(copies=("cdc",))))) == ()


def test_every_check_can_find_something() -> None:
    assert {name for name, *_ in CHECKS} == {fault.check for look in TROUBLES.values() for fault in faults(look)}


def test_all_faults_are_told_at_once() -> None:
    found = faults(replace(there(reverse="refused", units_running=False), never_copied=("uploads",)))
    told = refusal(found)
    assert told is not None
    assert [name for name, _, ok in questions(SOUND, found) if not ok] == ["way-back", "application", "files"]
    assert len(found) == 3
    assert "refused" in told.message and "uploads" in told.message and "nothing was touched" in told.message


def test_a_key_that_is_missing_is_refused_by_its_own_name() -> None:
    keyless = replace(SOUND, records=(replace(RECORD, key_problem="/k cannot be read"),))
    told, both = refusal(faults(keyless)), refusal(faults(replace(keyless, never_copied=("uploads",))))
    assert told is not None and "/k" in told.message and "0600" in told.hint
    assert (told.error("bergen").slug, told.error("bergen").host) == ("dns-secret", "bergen")
    assert both is not None and both.error("bergen").slug == "switchover-refused"


def test_taken_up_with_the_writers_stopped_the_old_primary_need_not_run() -> None:
    stopped = there(role="stopped", problem="down", units_running=False, fenced="bergen takes over by switchover id")
    midway = replace(stopped, midway=True, state=replace(STANDBY, streaming=Streaming.RECEIVER_DOWN))
    assert faults(midway) == ()
    assert faults(replace(midway, state=replace(STANDBY, replay_paused=True))) != ()


def test_a_survey_survives_the_way_over_the_tunnel() -> None:
    assert from_json(to_json(SURVEY), "oslo") == SURVEY
    with pytest.raises(FinalError) as strange:
        from_json({"site": "oslo"}, "oslo")
    assert strange.value.slug == "peer-version"


def test_the_proof_and_the_last_files_come_before_the_one_point_of_no_return() -> None:
    plan = steps(context())
    names = [step.name for step in plan]
    turn = names.index("promote")
    assert [step.name for step in plan if step.point_of_no_return] == ["promote"]
    assert all(names.index(name) < turn for name in ("close", "stop", "files", "equal"))
    assert all(names.index(name) > turn for name in ("dns", "application", "attach"))
    assert {step.site for step in plan if step.name in ("close", "stop", "attach")} == {"oslo"}


def test_nothing_slow_waits_behind_the_stop_of_the_writers() -> None:
    needs = {step.name: step.needs for step in steps(context())}
    assert set(needs["close"]) == {"checkpoint-before", "files-before"}
    assert "files" not in needs["stop"] and "stop" not in needs["files"], "they run at the same time"


def ended(name: str, at: str, result: StepResult = StepResult.DONE, **details: Any) -> StepOutcome:
    return StepOutcome(name, "bergen", name, result, at, at, 0.1, details)


SERVED = (ended("dns", "2026-11-22T03:12:10.500000Z"), ended("application", "2026-11-22T03:12:10.800000Z"))
PROVEN = (
    ended("files", "2026-11-22T03:12:10Z"),
    ended("equal", "2026-11-22T03:12:10Z", checkpoint="0/3000028", timeline=1),
)


BEGAN = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)


def journal(path: Path, *what: tuple[int, Kind, str]) -> Journal:
    clock = SetClock(BEGAN)
    found = Journal(path, clock)
    for second, kind, step in what:
        clock.wall = BEGAN + timedelta(seconds=second)
        found.append(kind, {"step": step})
    return found


def test_the_outage_begins_with_the_order_to_stop_the_writers(tmp_path: Path) -> None:
    written = journal(
        tmp_path / "j", (9, Kind.INTENT, "assess"), (10, Kind.INTENT, "close"), (10, Kind.RESULT, "close")
    )
    assert outage_seconds(written.records, SERVED) == 0.8


def test_an_outage_that_was_taken_back_does_not_count_and_one_before_a_death_does(tmp_path: Path) -> None:
    close = (Kind.INTENT, "close")
    taken_back = journal(tmp_path / "a", (1, *close), (5, Kind.UNDONE, "close"), (9, *close))
    assert outage_seconds(taken_back.records, SERVED) == 1.8
    died = journal(tmp_path / "b", (1, *close), (9, *close))
    assert outage_seconds(died.records, SERVED) == 9.8


def test_a_service_that_has_not_moved_has_no_outage_to_tell(tmp_path: Path) -> None:
    written = journal(tmp_path / "j", (10, Kind.INTENT, "close"))
    failed = (SERVED[0], ended("application", "2026-11-22T03:12:11Z", StepResult.FAILED))
    assert outage_seconds(written.records, failed) is None
    assert outage_seconds([], SERVED) is None


def test_no_work_is_lost_only_where_it_is_proven() -> None:
    assert loss(Outcome.COMPLETED, PROVEN)["estimated_seconds"] == 0.0
    assert loss(Outcome.COMPLETED, PROVEN)["proof"] == {"checkpoint": "0/3000028", "timeline": 1}
    unproven = (PROVEN[0], ended("equal", "2026-11-22T03:12:10Z", StepResult.FAILED))
    assert loss(Outcome.ROLLED_BACK, unproven)["estimated_seconds"] == 0.0
    assert loss(Outcome.BLOCKED, unproven)["estimated_seconds"] is None


def test_the_outage_to_expect_is_the_median_of_the_last_ones_and_unknown_without_any() -> None:
    assert expected(()) is None
    assert expected((9.0, 0.7, 0.5, 0.6, 0.8, 0.9)) == 0.7


def document(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "procedure": "switchover",
        "id": "id",
        "outcome": "completed",
        "steps": [],
        "rto": {"measured_seconds": 0.6, "objective_seconds": 60.0},
        "rpo": {"objective_seconds": 10.0, **loss(Outcome.COMPLETED, PROVEN)},
        "outage_seconds": 0.6,
        "errors": [],
        "journal": "/j",
    }
    return base | more


def test_a_person_is_told_the_outage_and_the_proof() -> None:
    told = "\n".join(lines(document()))
    assert "without service 0.60 s" in told
    assert "none: both databases ended at 0/3000028 on timeline 1" in told
    back = document(outcome="rolled_back", outage_seconds=None, rto={"measured_seconds": None, "objective_seconds": 60})
    back["rpo"] = {"objective_seconds": 10.0, "estimated_seconds": 0.0, "worst": None}
    assert "work lost       none" in "\n".join(lines(back))


def test_a_preview_names_every_fault_or_the_outage_to_expect() -> None:
    plain: dict[str, Any] = {"to": "bergen", "from": "oslo", "would_be_refused": None, "faults": [], "steps": []}
    plain["outage"] = {"expected_seconds": None, "earlier": 0}
    assert "unknown" in "\n".join(switchover_lines(plain))
    plain["outage"] = {"expected_seconds": 0.61, "earlier": 3}
    assert "about 0.61 s, from 3 earlier" in "\n".join(switchover_lines(plain))
    fault = {"check": "busy", "site": "oslo", "message": "1 base backup(s) run there", "hint": "wait"}
    plain |= {"would_be_refused": {"message": "m", "hint": "h"}, "faults": [fault, {**fault, "message": "second"}]}
    told = "\n".join(switchover_lines(plain))
    assert "base backup" in told and "second" in told and "next: wait" in told


async def test_a_request_that_was_held_back_is_left_alone_when_a_later_one_has_been_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    handover = Handover(SPEC, "oslo", SystemClock())

    async def note(request: Mapping[str, Any]) -> Mapping[str, Any]:
        heard.append(str(request["serial"]))
        return {}

    monkeypatch.setattr(handover, "_acts", {"close": note, "reopen": note, "survey": note})
    await handover("close", {"procedure": "c", "serial": 7})
    await handover("close", {"procedure": "b", "serial": 1})
    await handover("reopen", {"procedure": "b", "serial": 3})
    for late in ({"procedure": "b", "serial": 2}, {"procedure": "b", "serial": 3}, {"procedure": "c", "serial": 9}):
        with pytest.raises(FinalError) as stale:
            await handover("close", late)
        assert stale.value.slug == "handover-stale"
    await handover("survey", {"procedure": "a", "serial": 0})
    await handover("close", {"procedure": "b", "serial": 1001})
    assert heard == ["7", "1", "3", "0", "1001"]


async def test_two_requests_that_were_made_side_by_side_are_both_heard_in_either_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    handover = Handover(SPEC, "oslo", SystemClock())

    async def note(request: Mapping[str, Any]) -> Mapping[str, Any]:
        heard.append(str(request["serial"]))
        return {}

    monkeypatch.setattr(handover, "_acts", {"follow": note, "pooler": note, "close": note})
    await handover("follow", {"procedure": "b", "serial": 5})
    await handover("pooler", {"procedure": "b", "serial": 4})
    await handover("close", {"procedure": "c", "serial": 0})
    for late in ({"procedure": "b", "serial": 6}, {"procedure": "b", "serial": 4}):
        with pytest.raises(FinalError, match="after a later one"):
            await handover("pooler", late)
    await handover("pooler", {"procedure": "c", "serial": 9})
    with pytest.raises(FinalError, match="after a later one"):
        await handover("pooler", {"procedure": "c", "serial": 8})
    assert heard == ["5", "4", "0", "9"]


def test_the_old_primary_is_not_asked_to_follow_while_clients_wait_for_its_pooler() -> None:
    pooled = replace(context(), spec=pooled_spec(pooler={"databases": ["shop"]}))
    follows = {step.name: step.follows for step in steps(pooled)}
    assert follows["attach"] == ("pooler",)
    assert next(step for step in steps(context()) if step.name == "attach").follows == ()


async def test_with_the_writers_stopped_a_pooler_that_is_down_does_not_stop_the_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "RUN", tmp_path)
    monkeypatch.setattr(paths, "POOLER_PAUSED", tmp_path / "mark")
    asked: list[Mapping[str, Any]] = []

    async def ask(self: OldPrimary, act: str, document: Mapping[str, Any], *, seconds: float) -> Mapping[str, Any]:
        asked.append(document)
        return {}

    monkeypatch.setattr(OldPrimary, "ask", ask)
    described = pooled_spec(pooler={"databases": ["shop"], "socket": str(tmp_path)})
    left = {"assess": {"midway": True, "database": {"timeline": 1}}}
    at_it = replace(context(), spec=described, results=lambda: left)
    await Close(at_it).apply(lambda _: None)
    assert asked == [{"generation": 2, "midway": True}]


@pytest.mark.parametrize("theirs", [None, 1, 3, "2"])
def test_a_site_steps_down_for_the_very_next_generation_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: object
) -> None:
    monkeypatch.setattr(paths, "QUARANTINE", tmp_path / "quarantine")
    refuse_wrong_generation("oslo", 2, 1)
    with pytest.raises(FinalError) as refused:
        refuse_wrong_generation("oslo", theirs, 1)
    assert refused.value.slug == "handover-refused"
    paths.QUARANTINE.touch()
    with pytest.raises(FinalError):
        refuse_wrong_generation("oslo", 2, 1)


@pytest.mark.parametrize("fence", [None, "fenced by procedure other at bergen"])
async def test_a_database_whose_writers_were_not_stopped_by_this_procedure_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fence: str | None
) -> None:
    monkeypatch.setattr(paths, "FENCED", tmp_path / "fenced")
    if fence is not None:
        paths.FENCED.write_text(fence)
    with pytest.raises(FinalError) as refused:
        await stop(SPEC, "oslo", SystemClock(), {"procedure": "20261122T031200Z-switchover-1a2b"})
    assert refused.value.slug == "handover-refused"
