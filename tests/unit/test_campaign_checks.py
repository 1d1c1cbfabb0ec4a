"""The campaign's checker finds what it is there to find, and lets pass what secondsite never promised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from campaign.breaking import Happened
from campaign.checks import Ack, Evidence, Procedure, late_writes, lost, violations
from campaign.journals import document
from campaign.operator import stopped, unfinished_at
from campaign.plan import Fault, Kind, Mode
from campaign.play import longest_gap

OK: dict[str, Any] = {"ready": True, "primary": "bergen", "generation": 2, "findings": [], "checks": []}


def row(key: str, at: float, site: str = "oslo", timeline: int = 1, path: str = "service") -> Ack:
    return Ack(key, path, site, at - 0.01, at, timeline, int(at * 1000))


def failover(given: float, *, fence: str = "confirmed", **rpo: Any) -> Procedure:
    steps = [{"name": "assess", "details": {"reached": "0/0"}}]
    document = {"outcome": "completed", "fence": fence, "rpo": rpo, "steps": steps}
    return Procedure("failover", "bergen", given, given + 2, 0, document)


def evidence(*acks: Ack, procedures: tuple[Procedure, ...] = (), gone: tuple[str, ...] = (), **more: Any) -> Evidence:
    there = frozenset(ack.key for ack in acks) - set(gone)
    seen = Evidence(
        mode=Mode.ASYNC,
        primary="oslo",
        acks=tuple(sorted(acks, key=lambda ack: ack.acknowledged)),
        faults=(),
        procedures=procedures,
        there={"oslo": there, "bergen": there},
        written_down=None,
        status={"oslo": OK, "bergen": OK},
        slots={"oslo": [], "bergen": [{"slot_name": "secondsite_oslo", "active": True}]},
        left_over=(),
    )
    return replace(seen, **more)


FROM_OSLO = (row("a", 10), row("b", 11), row("c", 12))
AT_BERGEN = (row("x", 20, "bergen", 2), row("y", 21, "bergen", 2))


def test_a_round_in_which_nothing_was_lost_holds() -> None:
    assert violations(evidence(*FROM_OSLO, *AT_BERGEN)) == []


def test_a_lost_row_without_a_failover_is_told() -> None:
    (told,) = violations(evidence(*FROM_OSLO, *AT_BERGEN, gone=("c",)))
    assert "1 acknowledged rows are lost" in told and "no failover" in told


def test_a_failover_that_says_that_nothing_has_changed_may_lose_nothing() -> None:
    refused = replace(failover(15), code=3)
    (told,) = violations(evidence(*FROM_OSLO, *AT_BERGEN, gone=("c",), procedures=(refused,)))
    assert "there was no failover" in told


def test_a_row_that_a_failover_lost_has_to_be_written_down() -> None:
    seen = evidence(*FROM_OSLO, *AT_BERGEN, gone=("c",), procedures=(failover(15, at_most_seconds=10.0),))
    assert [ack.key for ack in lost(seen)] == ["c"]
    assert ["nobody wrote them down" in told for told in violations(seen)] == [True]
    assert ["not in report" in told for told in violations(replace(seen, written_down=frozenset("b")))] == [True]
    assert violations(replace(seen, written_down=frozenset("c"))) == []


def test_a_commit_that_waits_is_never_lost_whatever_is_written_down() -> None:
    seen = evidence(*FROM_OSLO, *AT_BERGEN, gone=("c",), procedures=(failover(15),), written_down=frozenset("c"))
    (told,) = violations(replace(seen, mode=Mode.BLOCK))
    assert "waits for the standby" in told


def test_more_lost_than_the_failover_said_is_told_and_the_unknown_promises_nothing() -> None:
    for at_most, right in ((2.0, False), (3.4, True), (None, True)):
        over = failover(15, at_most_seconds=at_most)
        seen = evidence(*FROM_OSLO, *AT_BERGEN, gone=("c",), procedures=(over,), written_down=frozenset("c"))
        assert (violations(seen) == []) is right, at_most


@pytest.mark.parametrize("estimated", [None, 0.0, 1.6])
@pytest.mark.parametrize(
    ("heard", "claim", "mode", "found"),
    [
        (13.0, {"synchronous": True}, Mode.DEGRADE, True),
        (13.0, {"synchronous": True}, Mode.BLOCK, True),
        (13.0, {"synchronous": False, "replicas": {"database": 0.0}}, Mode.DEGRADE, True),
        (12.4, {"synchronous": True}, Mode.DEGRADE, False),  # acknowledged as good as at that moment
        (11.0, {"synchronous": True}, Mode.DEGRADE, False),  # after the last sign of life it may degrade
        (13.0, {"synchronous": False, "replicas": {"database": 1.5}}, Mode.DEGRADE, False),
        (13.0, {"synchronous": False, "replicas": {"database": 0.0}}, Mode.ASYNC, False),
        (None, {"synchronous": True}, Mode.DEGRADE, False),
    ],
)
def test_a_row_of_before_the_last_sign_of_life_is_not_lost_where_commits_waited(
    heard: float | None, claim: dict[str, Any], mode: Mode, found: bool, estimated: float | None
) -> None:
    epoch = 1_795_000_000.0
    said = None if heard is None else datetime.fromtimestamp(epoch + heard, UTC).isoformat()
    over = failover(15, **claim, heard_at=said, estimated_seconds=estimated, at_most_seconds=10.0)
    seen = evidence(*FROM_OSLO, *AT_BERGEN, gone=("c",), procedures=(over,), written_down=frozenset("c"))
    seen = replace(seen, mode=mode, epoch=epoch)
    assert any("nothing of the database is lost up to" in told for told in violations(seen)) is found
    jumped = Happened(Fault(Kind.CLOCK_JUMP, "bergen", 1, 9), 5.0, 30.0)
    after = violations(replace(seen, faults=(jumped,)))
    assert not any("up to" in told for told in after), "that clock says nothing"


def test_a_write_at_the_old_primary_after_one_at_the_new_is_two_primaries() -> None:
    late = row("z", 20.5)
    assert late_writes((*FROM_OSLO, *AT_BERGEN, late)) == (late,)
    (told,) = violations(evidence(*FROM_OSLO, *AT_BERGEN, late, procedures=(failover(15),)))
    assert "oslo accepted 1 writes in generation 1" in told


def test_a_write_that_hung_over_the_promotion_is_not_sure_to_be_a_second_primary() -> None:
    assert late_writes((*AT_BERGEN, Ack("z", "service", "oslo", 19.0, 22.0, 1, 0))) == ()


def test_only_an_unconfirmed_fence_lets_the_old_primary_write_on_and_only_until_it_hears() -> None:
    cut = Happened(Fault(Kind.LINK_CUT, "oslo", 1, 9), 14.0, 30.0)
    warned = (failover(15, fence="unconfirmed"),)
    for at, right in ((29.0, True), (49.0, True), (51.0, False)):
        seen = evidence(*FROM_OSLO, *AT_BERGEN, row("z", at), procedures=warned, faults=(cut,))
        assert (violations(seen) == []) is right, at


def test_a_primary_that_comes_back_from_a_power_failure_may_not_write_a_single_row() -> None:
    off = Happened(Fault(Kind.POWER_OFF, "oslo", 1, 9), 14.0, 25.0)
    seen = evidence(
        *FROM_OSLO, *AT_BERGEN, row("z", 26), procedures=(failover(15, fence="unconfirmed"),), faults=(off,)
    )
    assert any("oslo accepted 1 writes" in told for told in violations(seen))


def test_both_sites_in_one_generation_and_a_generation_that_goes_back_are_told() -> None:
    assert any("both sites" in told for told in violations(evidence(*FROM_OSLO, row("z", 30, "bergen", 1), *AT_BERGEN)))
    back = (*AT_BERGEN, row("z", 30, "bergen", 1))
    assert any("went back from generation 2 to 1" in told for told in violations(evidence(*back)))


def test_whatever_is_left_over_is_told() -> None:
    def told(**more: Any) -> str:
        return "\n".join(violations(evidence(*FROM_OSLO, *AT_BERGEN, **more)))

    assert "a file" in told(left_over=("a file",))
    assert "not READY" in told(status={"oslo": OK, "bergen": {**OK, "ready": False}})
    assert "unfinished" in told(status={"oslo": OK, "bergen": {**OK, "checks": [{"check": "unfinished", "ok": False}]}})
    assert "tells no status" in told(status={"oslo": {}, "bergen": OK})
    assert "slots left at the standby" in told(
        slots={"oslo": [{"slot_name": "s", "active": False}], "bergen": [{"slot_name": "t", "active": True}]}
    )
    assert "rows of bergen are not at oslo" in told(there={"oslo": frozenset(), "bergen": frozenset("abcxy")})


def test_an_outage_is_the_longest_time_between_two_acknowledgements() -> None:
    assert longest_gap([1.0, 1.5, 4.5, 4.75]) == 3.0
    assert longest_gap([]) == 0.0


def test_a_journal_tells_what_an_interrupted_command_could_not() -> None:
    def result(step: str, **details: Any) -> dict[str, Any]:
        return {"kind": "result", "body": {"step": step, "result": "done", "details": details}}

    records = [
        result("assess", reached="0/5", rpo={"at_most_seconds": 2.0}), result("fence", fence="unconfirmed"),
        {"kind": "closed", "body": {"outcome": "completed"}},
    ]  # fmt: skip
    told = document(records)
    assert (told["outcome"], told["fence"], told["rpo"]) == ("completed", "unconfirmed", {"at_most_seconds": 2.0})
    assert document(records[:1])["outcome"] is None


def test_an_unfinished_procedure_is_taken_up_at_the_site_that_carries_it() -> None:
    finding = {"check": "unfinished", "site": "bergen", "hint": "`secondsite failover --resume --to bergen`"}
    assert unfinished_at({"findings": [finding]}, "bergen", "failover")
    assert not unfinished_at({"findings": [finding]}, "oslo", "failover")
    assert not unfinished_at({"findings": [finding]}, "bergen", "switchover")


def test_a_database_is_down_whether_it_was_a_primary_or_a_standby() -> None:
    row = "15  main    5432 {} postgres /var/lib/postgresql/15/main /var/log/postgresql/postgresql-15-main.log\n"
    for status, right in (("down", True), ("down,recovery", True), ("online", False), ("online,recovery", False)):
        assert stopped(row.format(status)) is right, status
    assert not stopped("")


def test_rows_of_a_primary_that_is_down_are_unknown_and_not_lost() -> None:
    seen = evidence(*FROM_OSLO, *AT_BERGEN, procedures=(failover(15, at_most_seconds=0.0),))
    told = violations(replace(seen, there={"oslo": seen.there["oslo"], "bergen": frozenset()}))
    assert told[0] == "the rows of bergen cannot be read, so nothing is known of what is lost"
    assert not any("acknowledged rows are lost" in words or "work of the last" in words for words in told)
