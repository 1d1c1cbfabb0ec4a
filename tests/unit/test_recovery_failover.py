"""The failover's pure parts: its shape, its estimate of the loss, its exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.cli.schemas import conforms
from secondsite.cli.views.procedure import lines
from secondsite.clock import SystemClock
from secondsite.database import promote as database
from secondsite.database.cluster import Cluster
from secondsite.database.promote import Room, switch_point
from secondsite.database.state import DatabaseState, Role
from secondsite.dns import verify
from secondsite.dns.ask import Server
from secondsite.errors import Exit, FinalError, RetryableError
from secondsite.events import ignore
from secondsite.objectives.silence import CLOCK_ERROR
from secondsite.objectives.snapshot import LastPrimary
from secondsite.recovery.acts.take_over import Promote, Prove
from secondsite.recovery.document import describe, recovery_seconds
from secondsite.recovery.engine import Outcome
from secondsite.recovery.failover import assess, preview
from secondsite.recovery.failover.assess import Assess, estimate
from secondsite.recovery.failover.context import FailoverArguments, FailoverContext
from secondsite.recovery.failover.plan import steps
from secondsite.recovery.journal import Journal
from secondsite.recovery.peer import Peer
from secondsite.recovery.step import StepOutcome, StepResult
from secondsite.spec import DnsRecord, Spec
from secondsite.spec.model import Database
from tests.fakes.agent import TOKEN, fake_agent

moments = st.floats(1e9, 2e9)
ASYNC = Database.model_validate({"cluster": "15/main"})


def context() -> FailoverContext:
    spec = Spec.model_validate(
        {
            "service": {"name": "shop"},
            "objectives": {"rpo": "10s", "rto": "1m"},
            "sites": {
                name: {
                    "ssh": f"root@192.0.2.{number}",
                    "public": f"192.0.2.{number}",
                    "operator": "Example",
                    "country": "NO",
                    "location": [59.9, 10.7],
                }
                for number, name in ((11, "oslo"), (12, "bergen"))
            },
            "tunnel": {"network": "10.10.0.0/24"},
            "database": {"cluster": "15/main"},
        }
    )
    arguments = FailoverArguments(to="bergen", commanded_at="2026-11-22T03:12:00Z")
    peer = Peer("oslo", "10.10.0.1", 7433, "t")
    cluster = Cluster("15", "main")
    return FailoverContext("failover", spec, "bergen", peer, cluster, SystemClock(), "id", False, dict, arguments)


def test_a_failover_has_one_point_of_no_return_and_fences_before_it() -> None:
    names = [step.name for step in steps(context())]
    turns = [step.name for step in steps(context()) if step.point_of_no_return]
    assert turns == ["promote"]
    assert names.index("fence") < names.index("promote")
    assert names.index("dns") > names.index("promote")


async def test_prepared_transactions_that_cannot_be_read_are_told_and_keep_no_failover_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int | None] = []

    def refused(_: Cluster, next_xid: int | None) -> tuple[database.Prepared, ...]:
        asked.append(next_xid)
        raise FinalError("15/main refused: permission denied", slug="database-refused")

    monkeypatch.setattr(database, "prove_writable", lambda *_: "now")
    monkeypatch.setattr(database, "create_slot", lambda *_: None)
    monkeypatch.setattr(database, "prepared_transactions", refused)
    promoted = replace(context(), results=lambda: {"promote": {"timeline": 2, "next_xid": 741}})
    details = await Prove(promoted).apply(ignore)
    assert asked == [741] and details["committed_at"] == "now"
    assert details["prepared_transactions"] is None and "permission denied" in details["prepared_unread"]


async def test_a_promotion_that_is_gone_on_with_keeps_the_number_that_it_had_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The application has prepared transactions of its own since."""

    async def under_way(_: Cluster, *, timeout_seconds: float) -> bool:
        return True

    monkeypatch.setattr(database, "under_way", under_way)
    monkeypatch.setattr(database, "look", lambda _: database.Promoted(2, 1000, 900))
    monkeypatch.setattr(Promote, "_open", lambda _: None)
    promote = Promote(context())
    first = {"timeline": 2, "switch_point": "0/3E8", "next_xid": 741}
    assert await promote.again(first, ignore) == first
    assert (await promote.again({"timeline": 2, "switch_point": "0/3E8"}, ignore))["next_xid"] == 900


def test_numbers_of_transactions_are_compared_over_their_end() -> None:
    assert database._is_before(740, 741) and not database._is_before(741, 741) and not database._is_before(742, 741)
    assert database._is_before(2**32 - 5, 2**32 + 10) and not database._is_before(12, 2**32 + 10)


def standby(heartbeat: float | None, reached: int = 1000) -> DatabaseState:
    return DatabaseState(Role.STANDBY, timeline=1, replayed=reached, heartbeat_at=heartbeat)


@given(moments, moments, moments)
def test_the_estimated_loss_is_never_negative_and_never_above_the_most_it_can_be(
    beat: float, last_beat: float, now: float
) -> None:
    found = estimate(standby(beat), LastPrimary(now, 5000, 1, last_beat), {}, rules=ASYNC, now=now)
    if found["estimated_seconds"] is None:
        assert max(beat, last_beat) > now + CLOCK_ERROR  # a clock is wrong, and a loss of 0 would be an invention
    else:
        assert 0 <= found["estimated_seconds"] <= found["at_most_seconds"]


@pytest.mark.parametrize("wrong", [3600.0, -3600.0])
def test_a_primary_whose_clock_is_wrong_costs_what_it_costs_and_never_nothing(wrong: float) -> None:
    """The heartbeat here is 4 s older than the last sign of life, which was 6 s ago; the files are 7 s old. It may have
    worked for a second more, until the next sign was due."""
    now = 1e9
    state, heard = standby(now - 10 + wrong), now - 6 + wrong
    known = estimate(
        state, LastPrimary(now - 6, 1000, 1, heard, clock_offset=wrong), {"uploads": now - 7}, rules=ASYNC, now=now
    )
    assert known["replicas"] == {"database": pytest.approx(5), "uploads": pytest.approx(2)}
    assert known["at_most_seconds"] == pytest.approx(10)
    unknown = estimate(state, LastPrimary(now - 6, 1000, 1, heard), {"uploads": now - 7}, rules=ASYNC, now=now)
    assert (unknown["estimated_seconds"], unknown["worst"]) == (None, "database" if wrong > 0 else "uploads")
    assert unknown["at_most_seconds"] is None or unknown["at_most_seconds"] >= 10


def test_a_primary_whose_clock_is_a_little_ahead_is_known() -> None:
    found = estimate(standby(1001.0), LastPrimary(1000, 1000, 1, 1001.5), {}, rules=ASYNC, now=1000.0)
    assert (found["estimated_seconds"], found["at_most_seconds"]) == (0.0, 0.0)


def test_without_a_heartbeat_the_loss_is_unknown_not_zero() -> None:
    assert estimate(standby(None), None, {}, rules=ASYNC, now=2e9)["estimated_seconds"] is None


def test_wal_the_primary_had_and_this_site_has_not_is_counted() -> None:
    found = estimate(standby(100.0, reached=1000), LastPrimary(101, 1800, 1, 100.5), {}, rules=ASYNC, now=110)
    assert found["known_bytes"] == 800
    assert found["estimated_seconds"] == 2.0
    assert found["at_most_seconds"] == 10


def test_the_switch_point_is_the_last_line_of_a_history_file() -> None:
    assert switch_point("") == 0
    text = "1\t0/3000148\tno recovery target specified\n\n2\t0/5000060\tno recovery target specified\n"
    assert switch_point(text) == 0x5000060


def test_the_file_set_that_is_farthest_behind_decides_what_is_lost() -> None:
    found = estimate(standby(100.0), LastPrimary(101, 1000, 1, 101.0), {"uploads": 97.5}, rules=ASYNC, now=110)
    assert (found["worst"], found["estimated_seconds"]) == ("uploads", 4.5)


def test_a_file_set_that_was_never_pulled_makes_the_loss_unknown() -> None:
    found = estimate(standby(100.0), LastPrimary(101, 1000, 1, 101.0), {"uploads": None}, rules=ASYNC, now=110)
    assert (found["worst"], found["estimated_seconds"]) == ("uploads", None)


@pytest.mark.parametrize(("text", "told"), [(None, "No such file"), ("", "empty"), ("no base64!", "not base64")])
async def test_a_failover_whose_dns_key_is_not_sound_refuses_before_anything_is_touched(
    tmp_path: Path, text: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(_: DnsRecord) -> tuple[Server, ...]:
        raise RetryableError("no answer", slug="dns-silent")

    monkeypatch.setattr(verify, "servers", nobody)
    secret = tmp_path / "tsig"
    if text is not None:
        secret.write_text(text)
    tsig = {"name": "secondsite", "secret": {"file": str(secret)}}
    record = DnsRecord.model_validate({"zone": "example.no", "name": "shop", "server": "203.0.113.53", "tsig": tsig})
    world = context()
    act = Assess(replace(world, spec=world.spec.model_copy(update={"dns": (record,)})))
    with pytest.raises(FinalError) as refused:
        act.refuse_unless_ready(standby(1.0))
    assert (refused.value.slug, refused.value.host) == ("dns-secret", "bergen")
    assert told in refused.value.message and str(secret) in refused.value.message and "0600" in str(refused.value.hint)
    problem = (await verify.observe(record, {})).key_problem
    assert problem is not None and told in problem
    secret.write_text("c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
    act.refuse_unless_ready(standby(1.0))
    assert (await verify.observe(record, {})).key_problem is None


@pytest.mark.parametrize(("free", "refused"), [(2**24 - 1, True), (2**24, False)])
def test_a_standby_without_room_for_a_promotion_refuses_before_anything_is_touched(
    free: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assess, "room", lambda _: Room(Path("/data/pg_wal"), free, 2**24))
    act = Assess(context())
    if refused:
        with pytest.raises(FinalError, match="it would fail behind the fence") as told:
            act.refuse_unless_ready(standby(1.0))
        assert told.value.slug == "no-room-to-promote" and "/data/pg_wal" in str(told.value.hint)
    else:
        act.refuse_unless_ready(standby(1.0))


@pytest.mark.parametrize("token", [TOKEN, "another"])
async def test_a_peer_that_answers_is_there_even_where_it_refuses(token: str) -> None:
    async with fake_agent() as known:
        peer = replace(known, token=token)
        assert await preview._answers(peer)
    assert not await preview._answers(peer)


def served(outcome: StepResult = StepResult.DONE) -> tuple[StepOutcome, ...]:
    """DNS and application there 3.5 s after the command."""
    return tuple(
        StepOutcome(name, "bergen", name, outcome, "2026-11-22T03:12:00Z", "2026-11-22T03:12:03.500000Z", 1.0)
        for name in ("dns", "application")
    )


@pytest.mark.parametrize(
    ("heard", "met", "code"),
    [("2026-11-22T03:08:14Z", False, Exit.OBJECTIVE_MISSED), ("2026-11-22T03:11:58Z", True, Exit.OK)],
)
def test_users_are_without_service_since_the_last_sign_of_life_and_the_objective_is_theirs(
    tmp_path: Path, heard: str, met: bool, code: Exit
) -> None:
    """An operator who comes late is quick from the command on, and the customer has waited all the same."""
    journal = Journal.create(tmp_path, "20261122T031200Z-failover-0000", SystemClock())
    steps, commanded = served(), "2026-11-22T03:12:00Z"
    found = describe(
        context().spec, procedure="failover", procedure_id="x", arguments={}, outcome=Outcome.COMPLETED, steps=steps,
        journal=journal, seconds=recovery_seconds(commanded, steps), loss={"estimated_seconds": 0.0, "worst": None},
        out_since=heard,
    )  # fmt: skip
    journal.close()
    rto = found.document["rto"]
    assert (rto["measured_seconds"], rto["met"]) == (3.5, True), "what these fields meant they mean"
    assert (rto["outage_since"], rto["outage_met"]) == (heard, met) and found.exit_code == code
    assert rto["outage_seconds"] == (5.5 if met else 229.5)
    conforms("procedure", found.document)
    text = "\n".join(lines(found.document))
    assert f"without service {rto['outage_seconds']} s since the old primary was last heard" in text
    assert "3.50 s of it, from the command on" in text and ("MISSED" in text) is not met
