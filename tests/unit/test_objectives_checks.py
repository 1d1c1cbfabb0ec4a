"""Each named check finds its trouble, at the right site, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from secondsite.database.condition import Condition, Expiry
from secondsite.database.state import DatabaseState, Role, SlotState, Streaming
from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.files.state import FileSetState, FilesStatus
from secondsite.objectives.checks import CHECKS
from secondsite.objectives.finding import Severity
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import (
    CommitWait,
    LastPrimary,
    Silence,
    SiteState,
    SiteView,
    Trouble,
    Unfinished,
    UnitState,
)
from secondsite.objectives.status import Status, assess
from secondsite.tunnel.state import TunnelState
from tests.unit.objectives_worlds import NOW, SPEC, SYNCHRONOUS, primary, site, standby, well

Views = dict[str, SiteView]


def judged(seen: Views, history: tuple[PastRun, ...] = ()) -> Status:
    return assess(SPEC, seen, history, datetime.fromtimestamp(NOW, UTC))


def oslo(**more: object) -> Views:
    return well() | {"oslo": site("oslo", primary(), **more)}


def bergen(**more: object) -> Views:
    return well() | {"bergen": site("bergen", standby(), **more)}


def on_primary(**more: object) -> Views:
    return well() | {"oslo": site("oslo", primary(**more))}


def on_standby(**more: object) -> Views:
    return well() | {"bergen": site("bergen", standby(**more))}


def slot(**more: object) -> Views:
    before = SlotState("secondsite_bergen", True, "reserved", 10**9)
    return on_primary(slots=(replace(before, **more),))  # type: ignore[arg-type]


def record(*answers: ServerAnswer, points_to: str | None) -> Views:
    told = RecordState("example.no", "shop", answers, points_to)
    return {name: replace(state, dns=(told,)) for name, state in well().items() if isinstance(state, SiteState)}


def copy(status: FilesStatus) -> tuple[FileSetState, ...]:
    return (FileSetState("uploads", status, NOW - 2, reason="because"),)


def hanging() -> Views:
    return well() | {"oslo": site("oslo", primary(settings=SYNCHRONOUS), commits=CommitWait(False, 4.0, False))}


HERE = ServerAnswer("203.0.113.53", ("192.0.2.11",), 60, 1)
THERE = ServerAnswer("203.0.113.53", ("198.51.100.11",), 60, 1)
MUTE = ServerAnswer("203.0.113.54", problem="no answer")
RECORD = RecordState("example.no", "shop", (HERE,), "oslo")

CASES: list[tuple[str, str | None, Callable[[], Views]]] = [
    ("two-primaries", None, lambda: well() | {"bergen": site("bergen", primary(timeline=2))}),
    ("no-primary", "oslo", lambda: well() | {"oslo": site("oslo", DatabaseState(Role.STOPPED))}),
    ("reachable", "bergen", lambda: well() | {"bergen": Silence("bergen", "no answer", NOW - 60)}),
    ("agent", "bergen", lambda: bergen(agent_running=False)),
    ("agent-duties", "oslo", lambda: oslo(troubles=(Trouble("dns", "refused", NOW),))),
    ("guard", "bergen", lambda: bergen(guard_reason="bergen is in generation 2")),
    ("unfinished", "bergen", lambda: bergen(unfinished=Unfinished("failover", "x", NOW - 600))),
    ("quarantine", "oslo", lambda: oslo(quarantining_peer=True)),
    ("application", "oslo", lambda: oslo(healthy=False)),
    ("units", "bergen", lambda: bergen(units=(UnitState("shop.service", "missing"),))),
    ("units", "bergen", lambda: bergen(units=(UnitState("shop.service", "active"),))),
    ("units", "oslo", lambda: oslo(units=(UnitState("shop.service", "failed"),))),
    ("config", None, lambda: bergen(config_hash="other")),
    ("version", None, lambda: bergen(version="2")),
    ("clocks", None, lambda: bergen(peer_clock_offset=9.0)),
    ("disk", "oslo", lambda: oslo(disk_free_bytes=10**8)),
    ("streaming", "bergen", lambda: on_standby(streaming=Streaming.RECEIVER_DOWN)),
    ("streaming", "bergen", lambda: on_standby(streaming=Streaming.CATCHING_UP)),
    ("streaming", "bergen", lambda: well() | {"bergen": site("bergen", DatabaseState(Role.STOPPED))}),
    ("replay-paused", "bergen", lambda: on_standby(replay_paused=True, streaming=Streaming.PAUSED)),
    ("same-cluster", "bergen", lambda: on_standby(system_identifier="8")),
    ("timeline", "bergen", lambda: on_primary(timeline=2)),
    ("standby-settings", "bergen", lambda: on_standby(settings=(("max_connections", "50"),))),
    ("rewindable", "oslo", lambda: on_primary(settings=(("wal_log_hints", "off"), ("data_checksums", "off")))),
    ("commit-mode", "oslo", lambda: on_primary(settings=(("synchronous_standby_names", "bergen"),))),
    ("commits-hang", "oslo", lambda: hanging()),
    ("collations", "bergen", lambda: bergen(condition=Condition(NOW, collations=(("shop", "2.36", "2.41"),)))),
    ("extensions", "bergen", lambda: bergen(condition=Condition(NOW, extensions=("shop: postgis",)))),
    ("replay-delayed", "bergen", lambda: bergen(condition=Condition(NOW, apply_delay="1h"))),
    ("long-transactions", "oslo", lambda: oslo(condition=Condition(NOW, transaction_seconds=3600.0))),
    ("prepared-transactions", "oslo", lambda: oslo(condition=Condition(NOW, prepared=("pay-1",)))),
    ("archiver", "oslo", lambda: oslo(condition=Condition(NOW, archive_failed_at=NOW - 60))),
    ("archiver", "oslo", lambda: oslo(condition=Condition(NOW, archive_waiting=50))),
    ("logical-slots", "oslo", lambda: oslo(condition=Condition(NOW, logical_slots=("cdc",)))),
    ("expiry", "bergen", lambda: bergen(condition=Condition(NOW, expiries=(Expiry("the certificate x", NOW),)))),
    (
        "expiry",
        "oslo",
        lambda: oslo(condition=Condition(NOW, expiries=(Expiry("the password of role shop", NOW - 9),))),
    ),
    ("inodes", "oslo", lambda: oslo(condition=Condition(NOW, inodes_free=9, inodes_total=10**6))),
    ("slot", "oslo", lambda: on_primary(slots=())),
    ("slot", "oslo", lambda: slot(active=False)),
    ("slot-lost", "oslo", lambda: slot(wal_status="lost")),
    ("slot-room", "oslo", lambda: slot(safe_wal_bytes=10**7)),
    ("slot-disk", "oslo", lambda: oslo(disk_free_bytes=10**8)),
    ("files", "bergen", lambda: bergen(files=copy(FilesStatus.STALE))),
    ("files-blocked", "bergen", lambda: bergen(files=copy(FilesStatus.BLOCKED))),
    ("rpo", "bergen", lambda: on_standby(heartbeat_at=NOW - 60, primary_told_at=NOW - 60)),
    ("rehearsed", None, well),
    ("tunnel", "bergen", lambda: bergen(tunnel=TunnelState(up=False, reason="no interface"))),
    ("handshake", "oslo", lambda: oslo(tunnel=TunnelState(up=True, last_handshake_at=NOW - 3600))),
    ("dns-target", "oslo", lambda: record(THERE, points_to="bergen")),
    ("dns-key", "bergen", lambda: bergen(dns=(replace(RECORD, key_problem="no such file"),))),
    ("dns-key", "oslo", lambda: oslo(dns=(replace(RECORD, key_problem="no such file"),))),
    ("dns-ttl", None, lambda: record(replace(HERE, ttl=86400), points_to="oslo")),
    ("dns-servers", "oslo", lambda: record(HERE, MUTE, points_to="oslo")),
]


@pytest.mark.parametrize(("check", "where", "world"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)])
def test_a_check_finds_its_trouble_at_its_site(check: str, where: str | None, world: Callable[[], Views]) -> None:
    found = [finding for finding in judged(world()).findings if finding.check == check]
    assert found and found[0].site == where
    assert found[0].message


def test_every_check_is_tried_here() -> None:
    assert {check.name for check in CHECKS} - {case[0] for case in CASES} == {"rto"}


def test_names_of_checks_are_unique_and_each_asks_a_question() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.question.endswith("?") for check in CHECKS)


def test_a_recovery_that_takes_too_long_is_no_readiness() -> None:
    status = judged(well(), (PastRun("drill", "1", NOW - 60, 90.0),))
    assert not status.ready and [finding.check for finding in status.findings] == ["rto"]


def test_a_prediction_is_the_median_of_the_last_five() -> None:
    runs = tuple(
        PastRun("drill", str(n), NOW - 100 + n, seconds) for n, seconds in enumerate((500, 30, 10, 20, 40, 50))
    )
    status = judged(well(), runs)
    assert status.rto.predicted_seconds == 30 and status.rto.basis == "median of the last 5 drills"


def test_without_a_rehearsal_nothing_is_predicted_and_the_basis_says_so() -> None:
    status = judged(well())
    assert status.rto.predicted_seconds is None and "no rehearsal yet" in status.rto.basis


def test_a_standby_without_the_key_is_not_ready_and_a_primary_without_it_is() -> None:
    broken = (replace(RECORD, key_problem="no such file"),)
    assert not judged(bergen(dns=broken)).ready
    (found,) = (finding for finding in judged(oslo(dns=broken)).findings if finding.check == "dns-key")
    assert found.severity is Severity.WARNING


def test_the_last_look_at_the_dns_counts_whichever_site_made_it() -> None:
    """Bergen has asked before the failover moved the record, oslo after it; bergen's state is the fresher one."""
    answer = ServerAnswer("203.0.113.53", ("192.0.2.11",), 60, 1)
    before = RecordState("example.no", "shop", (answer,), "bergen", looked_at=NOW - 25)
    after = replace(before, points_to="oslo", looked_at=NOW - 1)
    seen: Views = {
        "oslo": site("oslo", primary(), taken_at=NOW - 0.5, dns=(after,)),
        "bergen": site("bergen", standby(), taken_at=NOW, dns=(before,)),
    }
    assert "dns-target" not in {finding.check for finding in judged(seen).findings}
    seen["oslo"] = site("oslo", primary(), dns=(replace(before, looked_at=None),))
    assert "dns-target" in {finding.check for finding in judged(seen).findings}


@pytest.mark.parametrize("shut_out", [True, False])
def test_a_standby_that_a_failover_has_shut_out_is_taken_back_and_not_just_applied(shut_out: bool) -> None:
    down = DatabaseState(Role.STOPPED, reason="it was stopped")
    seen: Views = {"oslo": site("oslo", primary(), quarantining_peer=shut_out), "bergen": site("bergen", down)}
    (hint,) = (finding.hint for finding in judged(seen).findings if finding.check == "streaming")
    assert ("secondsite apply --replace-standby bergen" in hint) == shut_out


def test_the_worst_comes_first() -> None:
    found = judged(bergen(agent_running=False, version="2")).findings
    ranks = [list(Severity).index(finding.severity) for finding in found]
    assert ranks == sorted(ranks)


def test_a_primary_that_died_leaves_what_was_lost_when_it_was_last_heard() -> None:
    last = LastPrimary(NOW - 600, 5000, 1, NOW - 600.2)
    down = standby(
        streaming=Streaming.RECEIVER_DOWN, heartbeat_at=NOW - 601, primary_told_at=None, primary_flushed=None
    )
    seen: Views = {
        "oslo": Silence("oslo", "no answer", NOW - 600, site("oslo", primary())),
        "bergen": site("bergen", down, last_primary=last, files=copy(FilesStatus.STALE)),
    }
    status = judged(seen)
    database = status.lags[0]
    assert database.seconds is not None
    assert database.seconds == pytest.approx(601) and database.bytes == 4000
    assert database.seconds - database.unseen_seconds == pytest.approx(1)
    assert status.situation.primary == "oslo"


def test_a_clock_that_is_ahead_is_corrected_and_one_that_is_unknown_promises_nothing() -> None:
    ahead = site("bergen", standby(heartbeat_at=NOW + 99), peer_clock_offset=100.0)
    assert judged(well() | {"bergen": ahead}).lags[0].seconds == pytest.approx(1.0)
    unknown = site("bergen", standby(heartbeat_at=NOW + 99, primary_told_at=None), peer_clock_offset=None)
    blind = well() | {"oslo": site("oslo", primary(), peer_clock_offset=None), "bergen": unknown}
    assert judged(blind).lags[0].seconds is None


def test_a_site_that_a_switchover_stopped_half_way_is_told_the_one_command_that_goes_on() -> None:
    held = site("oslo", DatabaseState(Role.STOPPED), guard_reason="bergen takes over by switchover 2026-x")
    found = judged(well() | {"oslo": held}).findings
    hints = {finding.check: finding.hint for finding in found if finding.check in ("guard", "no-primary")}
    assert set(hints) == {"guard", "no-primary"}
    assert all("at bergen: `secondsite switchover --resume`" in hint for hint in hints.values())
    fenced = site("oslo", DatabaseState(Role.STOPPED), guard_reason="fenced by procedure x at bergen")
    assert all("switchover" not in finding.hint for finding in judged(well() | {"oslo": fenced}).findings)


def test_an_unfinished_procedure_is_told_with_its_age_and_a_command_that_works_everywhere() -> None:
    status = judged(bergen(unfinished=Unfinished("switchover", "2026-x", NOW - 7300)))
    (finding,) = [one for one in status.findings if one.check == "unfinished"]
    assert (finding.severity, finding.site) == (Severity.WARNING, "bergen")
    assert finding.message == "the switchover 2026-x, begun 2 h ago, is not finished"
    assert finding.hint == "`secondsite switchover --resume --to bergen`"
    assert status.ready


def test_an_unfinished_procedure_that_left_no_trace_is_only_a_warning() -> None:
    old = Unfinished("switchover", "20261122T083131Z-switchover-f5d4", NOW - 60)
    assert judged(bergen(unfinished=old)).ready, "a failover would take its place"
    stopped = well() | {
        "oslo": site("oslo", DatabaseState(Role.STOPPED)),
        "bergen": site("bergen", standby(), unfinished=old),
    }
    assert not judged(stopped).ready
    (found,) = (one for one in judged(stopped).findings if one.check == "unfinished")
    assert found.severity is Severity.CRITICAL
