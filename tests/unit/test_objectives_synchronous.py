"""RPO 0 for the database: claimed only while it is true, of a primary that answers and of one that is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.agent.memory import Keeper
from secondsite.cli.views.procedure import loss as loss_lines
from secondsite.cli.views.status import shown
from secondsite.cli.views.verdict import verdict
from secondsite.database.state import DatabaseState, Follower, Role, Streaming
from secondsite.objectives.document import document
from secondsite.objectives.finding import Finding, Severity
from secondsite.objectives.snapshot import CommitWait, LastPrimary, Silence, SiteState, SiteView
from secondsite.objectives.status import Status, assess
from secondsite.objectives.synchronous import says_so
from secondsite.recovery.failover.assess import estimate
from secondsite.spec import Spec
from tests.unit.objectives_worlds import (
    NOW,
    SPEC,
    SYNCHRONOUS,
    follower,
    in_step,
    primary,
    site,
    spec,
    standby,
    views,
    well,
)
from tests.unit.test_status_views import lines

DEGRADE, BLOCK = spec(mode="sync", degrade_after="10s"), spec(mode="sync", when_standby_lost="block")


def judged(rules: Spec, seen: dict[str, SiteView]) -> Status:
    return assess(rules, seen, (), datetime.fromtimestamp(NOW, UTC))


def together(**more: object) -> dict[str, SiteView]:
    return well() | {"oslo": in_step(**more)}


def silent(*, heard: float, missing: float = 0.0, synchronous: bool = True, **more: object) -> dict[str, SiteView]:
    """Oslo was heard for the last time ``heard`` seconds ago."""
    at = NOW - heard
    last = LastPrimary(at, 1000, 1, at - 0.2, synchronous=synchronous, in_step_at=at - missing)
    down = standby(streaming=Streaming.RECEIVER_DOWN, heartbeat_at=at - 0.2, primary_told_at=at - 0.2, **more)
    return {"oslo": Silence("oslo", "no answer", at, in_step()), "bergen": site("bergen", down, last_primary=last)}


def commits(status: Status) -> list[Finding]:
    return [finding for finding in status.findings if finding.check in ("commit-mode", "commits-hang")]


def test_while_commits_wait_the_database_loses_nothing_and_the_files_decide() -> None:
    status = judged(DEGRADE, together())
    database, uploads = document(status)["replicas"]
    assert (database["synchronous"], database["loss_seconds"]) == (True, 0.0) and database["lag_seconds"] > 0
    assert (uploads["synchronous"], uploads["loss_seconds"]) == (False, 2.0)
    assert (status.rpo.worst, status.rpo.seconds, status.rpo.known_seconds) == ("uploads", 2.0, 2.0)
    assert commits(status) == []


@pytest.mark.parametrize(
    "oslo",
    [
        in_step(commits=None),
        in_step(commits=CommitWait(True, 0.0, False)),
        replace(in_step(), database=primary(followers=(follower(),))),
        replace(in_step(), database=primary(settings=SYNCHRONOUS)),
        replace(in_step(), database=primary(settings=SYNCHRONOUS, followers=(follower(sync_state="async"),))),
    ],
    ids=["no agent", "older commits not there", "nobody named", "nobody follows", "follows asynchronously"],
)
def test_where_one_part_is_missing_nothing_is_claimed(oslo: SiteState) -> None:
    status = judged(DEGRADE, well() | {"oslo": oslo})
    assert not status.lags[0].synchronous and status.rpo.seconds == status.lags[1].seconds
    assert judged(DEGRADE, together()).lags[0].synchronous


def test_in_mode_async_nothing_is_claimed_whatever_the_server_does() -> None:
    status = judged(SPEC, together())
    assert not status.lags[0].synchronous
    assert [finding.severity for finding in commits(status)] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("rules", "heard", "missing", "held"),
    [
        (DEGRADE, 4, 0, True),
        (DEGRADE, 9, 0, True),
        (DEGRADE, 10, 0, False),
        (DEGRADE, 6, 5, False),  # it had missed its standby before: it stops waiting earlier
        (DEGRADE, 3600, 0, False),
        (BLOCK, 3600, 5, True),
    ],
)
def test_a_silent_primary_is_believed_until_it_may_have_stopped_waiting(
    rules: Spec, heard: float, missing: float, held: bool
) -> None:
    status = judged(rules, silent(heard=heard, missing=missing))
    database = status.lags[0]
    assert (database.synchronous, database.was_synchronous) == (held, True)
    assert database.seconds == pytest.approx(heard + 0.2)
    known = document(status)["rpo"]["known_seconds"]
    assert known == pytest.approx(max(0.0, 2.0 - heard))  # of the database nothing, had it died then


@pytest.mark.parametrize("rules", [DEGRADE, BLOCK])
def test_a_primary_that_had_stopped_waiting_is_judged_by_age(rules: Spec) -> None:
    status = judged(rules, silent(heard=4, synchronous=False))
    assert not status.lags[0].synchronous and status.rpo.seconds == pytest.approx(4.2)


def test_what_is_remembered_of_another_timeline_or_by_no_standby_counts_for_nothing() -> None:
    assert not judged(BLOCK, silent(heard=4, timeline=2)).lags[0].was_synchronous
    last = LastPrimary(NOW - 4, 1000, 1, NOW - 4.2, synchronous=True, in_step_at=NOW - 4)
    stopped = site("bergen", DatabaseState(Role.STOPPED, timeline=1), last_primary=last)
    assert not judged(BLOCK, silent(heard=4) | {"bergen": stopped}).lags[0].was_synchronous


@given(views(), st.sampled_from([SPEC, DEGRADE, BLOCK]))
def test_the_database_is_only_ever_called_synchronous_on_somebodys_word(seen: dict[str, SiteView], rules: Spec) -> None:
    status = judged(rules, seen)
    if not status.lags[0].synchronous:
        return
    assert rules is not SPEC
    here, there = (seen[name] for name in (status.situation.primary or "", status.situation.standby or ""))
    if isinstance(here, SiteState):
        assert says_so(here, status.situation.standby or "") and here.commits is not None and here.commits.covered
    else:
        assert isinstance(there, SiteState) and there.last_primary is not None and there.last_primary.synchronous


def test_the_standby_remembers_when_the_primary_saw_it_last(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "last.json", "bergen")
    oslo = in_step(taken_at=NOW + 100, commits=CommitWait(True, 0.4, True))
    kept = keeper.note(oslo, NOW + 0.5, clock_offset=100.0)
    assert kept is not None and kept.synchronous and kept.in_step_at == pytest.approx(NOW - 0.4, abs=0.01)
    early = keeper.note(replace(oslo, commits=CommitWait(False, 4.0, False)), NOW + 0.6, clock_offset=100.0)
    assert early is not None and not early.synchronous, "what is no longer promised is not believed for another second"
    assert Keeper(tmp_path / "last.json", "bergen").kept == early
    assert Keeper(tmp_path / "other.json", "oslo").note(oslo, NOW) != kept, "commits that wait for another site"


def test_commits_that_hang_are_critical_and_the_way_out_is_told() -> None:
    lost = primary(settings=SYNCHRONOUS)
    status = judged(BLOCK, together(database=lost, commits=CommitWait(False, 42.0, False)))
    (found,) = commits(status)
    assert (found.check, found.severity, found.site) == ("commits-hang", Severity.CRITICAL, "oslo")
    assert "commits hang: they wait for bergen, which has not answered for 42 s" in found.message
    assert "-p 5432 -c 'ALTER SYSTEM RESET synchronous_standby_names' -c 'SELECT pg_reload_conf()'" in found.hint
    soon = judged(DEGRADE, together(database=lost, commits=CommitWait(False, 4.0, False)))
    (warned,) = commits(soon)
    assert warned.severity is Severity.WARNING and "no longer than 10 s" in warned.message


def test_commits_that_stopped_waiting_are_told_with_since_when_and_what_it_means() -> None:
    oslo = site("oslo", primary(), commits=CommitWait(False, 60.0, False, stopped_at=NOW - 50))
    (found,) = commits(judged(DEGRADE, well() | {"oslo": oslo}))
    assert found.severity is Severity.WARNING, "the standby is within the objective"
    assert "since 2027-01-15T07:59:10" in found.message and "RPO is not 0 any more" in found.message
    behind = site("bergen", standby(heartbeat_at=NOW - 60, primary_told_at=NOW - 60))
    (worse,) = commits(judged(DEGRADE, {"oslo": oslo, "bergen": behind}))
    assert worse.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("database", "words"),
    [
        (primary(), "do not wait for bergen yet, which does not stream"),
        (primary(followers=(Follower("bergen", "catchup", "async"),)), "which is in state catchup"),
        (primary(settings=(("synchronous_standby_names", "*"), ("synchronous_commit", "on"))), "names is '*', not"),
        (primary(settings=(*SYNCHRONOUS[:-1], ("synchronous_commit", "off"))), "synchronous_commit is off"),
        (primary(settings=(*SYNCHRONOUS, ("lesser_commits", "role app"))), "is set lower for role app"),
    ],
)
def test_commits_that_shall_wait_and_do_not_are_a_warning(database: DatabaseState, words: str) -> None:
    found = commits(judged(DEGRADE, together(database=database)))
    assert [one.severity for one in found] == [Severity.WARNING]
    assert words in found[0].message and found[0].hint


def test_status_and_its_verdict_say_that_nothing_acknowledged_would_be_lost() -> None:
    told = document(judged(DEGRADE, together(files=())))
    assert "streaming, sync" in "\n".join(lines(shown(told, 100), 100))
    told["rpo"]["estimated_seconds"] = 0.0
    assert "you would lose nothing that was acknowledged" in verdict(told).text
    assert "streaming, sync" not in "\n".join(lines(shown(document(judged(SPEC, well())), 100), 100))


RULES: dict[str, Any] = {"degrade": DEGRADE.database, "block": BLOCK.database, "async": SPEC.database}
HEARD = LastPrimary(NOW - 60, 5000, 1, NOW - 60.2, synchronous=True, in_step_at=NOW - 60)
BEHIND = standby(heartbeat_at=NOW - 61, primary_told_at=None, primary_flushed=None)


def test_a_failover_loses_nothing_acknowledged_where_commits_waited_until_the_last_sign_of_life() -> None:
    degrade = estimate(BEHIND, HEARD, {}, rules=RULES["degrade"], now=NOW)
    assert (degrade["estimated_seconds"], degrade["at_most_seconds"], degrade["known_bytes"]) == (0.0, 61.0, 0)
    assert degrade["synchronous"]
    assert any("nothing that was acknowledged" in line for line in loss_lines({**degrade, "objective_seconds": 10}))
    block = estimate(BEHIND, HEARD, {}, rules=RULES["block"], now=NOW)
    assert (block["estimated_seconds"], block["at_most_seconds"]) == (0.0, 0.0)
    files = estimate(BEHIND, HEARD, {"uploads": NOW - 63}, rules=RULES["block"], now=NOW)
    assert (files["worst"], files["estimated_seconds"], files["at_most_seconds"]) == ("uploads", pytest.approx(4), 63)


@pytest.mark.parametrize(
    ("rules", "last"),
    [
        ("async", HEARD),
        ("degrade", replace(HEARD, synchronous=False)),
        ("block", replace(HEARD, synchronous=False)),
        ("block", replace(HEARD, timeline=2)),
    ],
)
def test_a_failover_estimates_by_age_where_they_did_not(rules: str, last: LastPrimary) -> None:
    found = estimate(BEHIND, last, {}, rules=RULES[rules], now=NOW)
    assert found["estimated_seconds"] == pytest.approx(2) and found["at_most_seconds"] == 61.0
    assert not found["synchronous"]


def test_a_memory_without_the_new_words_is_read_and_promises_nothing() -> None:
    old = LastPrimary(at=NOW - 60, flushed=5000, timeline=1, heartbeat_at=NOW - 60.2)
    assert not estimate(BEHIND, old, {}, rules=RULES["block"], now=NOW)["synchronous"]
