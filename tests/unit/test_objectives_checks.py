"""Each named check finds its trouble, at the right site, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from secondsite.database.condition import Condition, Expiry, Tablespace
from secondsite.database.logical import LogicalSlots
from secondsite.database.pooler.state import Pooled, PoolerState
from secondsite.database.state import DatabaseState, Role, SlotState, Streaming
from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.files.state import SOURCE_UNREADABLE, Coming, FileSetState, FilesStatus
from secondsite.objectives.checks import CHECKS
from secondsite.objectives.finding import Severity, Word
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import (
    CommitWait,
    FailedCheck,
    FenceCommand,
    LastPrimary,
    LastProcedure,
    Silence,
    SiteState,
    SiteView,
    Trouble,
    Unfinished,
    UnitState,
    Verified,
)
from secondsite.objectives.status import Status, assess
from secondsite.spec import Spec
from secondsite.tunnel.state import TunnelState
from tests.unit.objectives_worlds import (
    FILE,
    NOW,
    SETTINGS,
    SPEC,
    SYNCHRONOUS,
    primary,
    site,
    spec,
    standby,
    well,
)

Views = dict[str, SiteView]


def judged(seen: Views, history: tuple[PastRun, ...] = (), file: Spec = SPEC) -> Status:
    return assess(file, seen, history, datetime.fromtimestamp(NOW, UTC))


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


def former(database: DatabaseState | None = None, **more: object) -> Views:
    """Oslo was primary, bergen has taken over; oslo is back, or not."""
    back = database or standby(timeline=1, streaming=Streaming.RECEIVER_DOWN, heartbeat_at=NOW - 600)
    sources = (FileSetState("uploads", FilesStatus.SOURCE),)
    slots = (SlotState("secondsite_oslo", False, "reserved", 10**9),)
    told = (RecordState("example.no", "shop", (THERE,), "bergen"),)
    held = {"guard_reason": "bergen is in generation 2, this site only in 1", "files": sources, "dns": told} | more
    return {
        "oslo": site("oslo", back, **held),
        "bergen": site("bergen", primary(timeline=2, slots=slots), quarantining_peer=True, dns=told),
    }


def ended(outcome: str, seconds: float, **more: object) -> LastProcedure:
    return LastProcedure("failover", "20261122T094519Z-failover-92be", outcome, NOW - seconds, **more)  # type: ignore[arg-type]


def hanging() -> Views:
    return well() | {"oslo": site("oslo", primary(settings=SYNCHRONOUS), commits=CommitWait(False, 4.0, False))}


def logical(at_primary: LogicalSlots, at_standby: LogicalSlots, version: str = "170004") -> Views:
    return {
        "oslo": site(
            "oslo",
            primary(settings=(*SETTINGS, ("server_version_num", version))),
            condition=Condition(NOW, logical=at_primary),
        ),
        "bergen": site("bergen", standby(), condition=Condition(NOW, logical=at_standby)),
    }


HERE = ServerAnswer("203.0.113.53", ("192.0.2.11",), 60, 1)
THERE = ServerAnswer("203.0.113.53", ("198.51.100.11",), 60, 1)
MUTE = ServerAnswer("203.0.113.54", problem="no answer")
RECORD = RecordState("example.no", "shop", (HERE,), "oslo")

GONE = FenceCommand("sites.oslo.power.off", "/usr/local/bin/pdu", "is not there")
POOLED = Pooled("shop", "127.0.0.1", "5432", paused=False, mode="transaction")
CASES: list[tuple[str, str | None, Callable[[], Views]]] = [
    ("two-primaries", None, lambda: well() | {"bergen": site("bergen", primary(timeline=2))}),
    ("no-primary", "oslo", lambda: well() | {"oslo": site("oslo", DatabaseState(Role.STOPPED))}),
    ("reachable", "bergen", lambda: well() | {"bergen": Silence("bergen", "no answer", NOW - 60)}),
    ("agent", "bergen", lambda: bergen(agent_running=False)),
    ("agent-duties", "oslo", lambda: oslo(troubles=(Trouble("dns", "refused", NOW),))),
    ("guard", "bergen", lambda: bergen(guard_reason="bergen is in generation 2")),
    ("unfinished", "bergen", lambda: bergen(unfinished=Unfinished("failover", "x", NOW - 600))),
    ("quarantine", "oslo", lambda: oslo(quarantining_peer=True)),
    ("former-primary", "oslo", lambda: former()),
    ("last-procedure", "bergen", lambda: bergen(last_procedure=ended("rolled_back", 60))),
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
    ("fence-commands", "bergen", lambda: bergen(fence_commands=(GONE,))),
    ("collations", "bergen", lambda: bergen(condition=Condition(NOW, collations=(("shop", "2.36", "2.41"),)))),
    ("extensions", "bergen", lambda: bergen(condition=Condition(NOW, extensions=("shop: postgis",)))),
    (
        "tablespaces",
        "bergen",
        lambda: bergen(condition=Condition(NOW, tablespaces=(Tablespace("fast", "/srv/fast", None),))),
    ),
    ("tablespaces", "oslo", lambda: oslo(condition=Condition(NOW, tablespaces=(Tablespace("fast", "/srv/fast", 9),)))),
    ("alter-system", "bergen", lambda: bergen(condition=Condition(NOW, alter_system=False))),
    ("alter-system", "oslo", lambda: oslo(condition=Condition(NOW, settings_held=("a.conf line 3: syntax error",)))),
    ("replay-delayed", "bergen", lambda: bergen(condition=Condition(NOW, apply_delay="1h"))),
    ("long-transactions", "oslo", lambda: oslo(condition=Condition(NOW, transaction_seconds=3600.0))),
    ("prepared-transactions", "oslo", lambda: oslo(condition=Condition(NOW, prepared=("pay-1",)))),
    ("archiver", "oslo", lambda: oslo(condition=Condition(NOW, archive_failed_at=NOW - 60))),
    ("archiver", "oslo", lambda: oslo(condition=Condition(NOW, archive_waiting=50))),
    ("logical-slots", "oslo", lambda: logical(LogicalSlots(unmarked=("cdc",)), LogicalSlots(), "150018")),
    ("expiry", "bergen", lambda: bergen(condition=Condition(NOW, expiries=(Expiry("the certificate x", NOW),)))),
    (
        "expiry",
        "oslo",
        lambda: oslo(condition=Condition(NOW, expiries=(Expiry("the password of role shop", NOW - 9),))),
    ),
    (  # a role is told once, at the primary; what is the standby's own is told beside it
        "expiry",
        "bergen",
        lambda: bergen(
            condition=Condition(
                NOW, expiries=(Expiry("the password of role shop", NOW), Expiry("the certificate x", NOW))
            )
        ),
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
    (
        "verified",
        "bergen",
        lambda: bergen(verified=Verified(NOW, 2, (FailedCheck("table a", "table", NOW, "one row"),))),
    ),
    ("tunnel", "bergen", lambda: bergen(tunnel=TunnelState(up=False, reason="no interface"))),
    ("handshake", "oslo", lambda: oslo(tunnel=TunnelState(up=True, last_handshake_at=NOW - 3600))),
    ("dns-target", "oslo", lambda: record(THERE, points_to="bergen")),
    ("dns-key", "bergen", lambda: bergen(dns=(replace(RECORD, key_problem="no such file"),))),
    ("dns-key", "oslo", lambda: oslo(dns=(replace(RECORD, key_problem="no such file"),))),
    ("dns-ttl", None, lambda: record(replace(HERE, ttl=86400), points_to="oslo")),
    ("dns-servers", "oslo", lambda: record(HERE, MUTE, points_to="oslo")),
    ("pooler", "oslo", lambda: oslo(pooler=PoolerState(reason="PgBouncer does not answer"))),
    ("pooler-target", "bergen", lambda: bergen(pooler=PoolerState((replace(POOLED, host="127.0.0.1"),)))),
    ("pooler-waits", "oslo", lambda: oslo(pooler=PoolerState((replace(POOLED, mode="session"),)))),
]


@pytest.mark.parametrize(("check", "where", "world"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)])
def test_a_check_finds_its_trouble_at_its_site(check: str, where: str | None, world: Callable[[], Views]) -> None:
    status = judged(world())
    found = [finding for finding in status.findings if finding.check == check]
    (answer,) = (answer for one, answer in status.asked if one.name == check)
    assert answer.ok is not True
    assert found and found[0].site == where
    assert found[0].message


def test_a_fence_command_that_cannot_be_started_is_critical_only_where_it_would_have_confirmed() -> None:
    looks = FenceCommand("sites.oslo.power.check", "/usr/local/bin/pdu-state")
    also = FenceCommand("sites.oslo.fence[0]", "provider")

    def severity(*commands: FenceCommand) -> Severity:
        (found,) = (one for one in judged(bergen(fence_commands=commands)).findings if one.check == "fence-commands")
        assert "/usr/local/bin/pdu" in found.message and "bergen" in found.hint
        return found.severity

    assert severity(GONE) is Severity.WARNING, "nothing would have confirmed, whatever is installed"
    assert severity(GONE, looks) is Severity.CRITICAL
    assert severity(GONE, also, looks) is Severity.WARNING, "there is another way that cuts it off"
    assert severity(also, replace(looks, problem="is not executable")) is Severity.CRITICAL
    assert judged(oslo(fence_commands=(GONE,))).ready, "the primary runs none of them"


def test_commands_that_nobody_has_looked_at_are_told_as_not_seen_and_a_file_without_any_as_nothing() -> None:
    sites: dict[str, dict[str, object]] = FILE["sites"]  # type: ignore[assignment]
    powered = sites | {"oslo": sites["oslo"] | {"power": {"off": ["pdu"]}}}
    told = Spec.model_validate(FILE | {"sites": powered})
    assert word(well(), "fence-commands", file=told)[0] == Word.NOT_SEEN
    fine = bergen(fence_commands=(replace(GONE, problem=None),))
    assert word(fine, "fence-commands", file=told) == (Word.YES, None)
    assert word(well(), "fence-commands")[0] == Word.NOTHING


@pytest.mark.parametrize("check", ["pooler", "pooler-target", "pooler-waits"])
def test_nothing_good_is_said_of_a_pgbouncer_that_nobody_could_look_at(check: str) -> None:
    assert word(well(), check)[0] == Word.NOTHING, "the file describes none"
    described = spec(pooler={"databases": ["shop"]})
    assert word(well(), check, file=described)[0] == Word.NOT_SEEN
    silent = PoolerState(reason="PgBouncer does not answer")
    mute: Views = {"oslo": site("oslo", primary(), pooler=silent), "bergen": site("bergen", standby(), pooler=silent)}
    assert word(mute, check, file=described)[0] == (Word.NO if check == "pooler" else Word.NOT_SEEN)


def test_a_verification_is_judged_where_the_standby_is_and_a_past_gap_is_only_a_warning() -> None:
    gap = Verified(NOW, 1, (FailedCheck("heartbeat", "heartbeat", NOW, "gaps"),))
    (found,) = (finding for finding in judged(bergen(verified=gap)).findings if finding.check == "verified")
    assert found.severity is Severity.WARNING and found.hint
    wrong = Verified(NOW, 1, (FailedCheck("table a", "table", NOW, "one row"),))
    assert not judged(bergen(verified=wrong)).ready
    assert judged(oslo(verified=wrong)).ready, "what was found before the roles changed says nothing about the standby"
    assert judged(bergen(verified=Verified(NOW, 1))).ready


@pytest.mark.parametrize("last", [None, Verified(NOW, 3, (), 0)])
def test_a_copy_that_nobody_could_verify_is_not_told_to_be_what_it_should_be(last: Verified | None) -> None:
    said, why = word(bergen(verified=last), "verified")
    assert said == Word.NOT_SEEN and why and "secondsite verify" in why
    assert word(bergen(verified=Verified(NOW, 3, (), 2)), "verified") == (Word.YES, None)


def told(views: Views) -> list[tuple[Severity, str, str]]:
    """What is said of logical slots."""
    found = judged(views).findings
    return [(one.severity, one.message, one.hint) for one in found if one.check == "logical-slots"]


def test_before_17_every_logical_slot_is_lost_and_no_setting_helps() -> None:
    ((severity, message, hint),) = told(logical(LogicalSlots(unmarked=("cdc",)), LogicalSlots(), "160009"))
    assert severity is Severity.WARNING and "loses the logical slots cdc" in message
    assert "before PostgreSQL 17 none survives" in hint and "keep_logical_slots" not in hint


def test_a_slot_that_is_not_marked_is_lost_and_the_hint_says_how_to_mark_it() -> None:
    ((severity, message, hint),) = told(logical(LogicalSlots(unmarked=("cdc",)), LogicalSlots()))
    assert severity is Severity.WARNING and "not marked failover" in message
    assert "failover = true" in hint and "keep_logical_slots" in hint


def test_a_marked_slot_survives_as_soon_as_the_standby_has_a_copy() -> None:
    marked = LogicalSlots(marked=("cdc",), awaited=("secondsite_bergen",))
    ((severity, message, hint),) = told(logical(marked, LogicalSlots(copies=("cdc",))))
    assert (severity, message, hint) == (Severity.INFO, "a promotion takes the logical slots cdc along", "")
    assert {check.name: answer.ok for check, answer in judged(logical(marked, LogicalSlots(copies=("cdc",)))).asked}[
        "logical-slots"
    ]
    ((severity, message, _),) = told(logical(marked, LogicalSlots()))
    assert severity is Severity.WARNING and "bergen has no copy" in message


def test_what_keeps_the_standby_from_copying_is_named() -> None:
    marked = LogicalSlots(marked=("cdc",))
    ((_, _, hint),) = told(logical(marked, LogicalSlots(lacks=("sync_replication_slots = on",))))
    assert "bergen lacks sync_replication_slots = on" in hint
    ((_, _, hint),) = told(logical(marked, LogicalSlots(own=("cdc",))))
    assert "pg_drop_replication_slot('cdc')" in hint


def test_consumers_that_are_not_held_back_can_be_ahead_of_the_standby_and_ones_that_are_can_stand_still() -> None:
    copied = LogicalSlots(copies=("cdc",))
    ((_, _, hint),) = told(logical(LogicalSlots(marked=("cdc",)), copied))
    assert "synchronized_standby_slots = 'secondsite_bergen'" in hint
    still = LogicalSlots(marked=("cdc",), awaited=("secondsite_oslo",), unused=("secondsite_oslo",))
    assert any("nobody uses the slot secondsite_oslo" in message for _, message, _ in told(logical(still, copied)))


def test_a_silent_standby_leaves_a_marked_slot_unknown() -> None:
    alone = logical(LogicalSlots(marked=("cdc",)), LogicalSlots()) | {"bergen": Silence("bergen", "no answer", NOW)}
    status = judged(alone)
    assert told(alone) == []
    assert {check.name: answer.ok for check, answer in status.asked}["logical-slots"] is None


def test_every_check_is_tried_here() -> None:
    # test_delayed, test_cli_versions: the file has to name them; test_objectives_zfs
    elsewhere = {"rto", "delayed-standby", "delayed-slot", "versions", "zfs-pool", "zfs-space", "zfs-delegation"}
    assert {check.name for check in CHECKS} - {case[0] for case in CASES} == elsewhere


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


def test_a_switchover_is_no_recovery_and_predicts_none() -> None:
    moves = tuple(PastRun("switchover", f"s{n}", NOW - n, 0.6) for n in range(6))
    status = judged(well(), moves)
    assert status.rto.predicted_seconds is None and "no failover yet" in status.rto.basis
    assert status.rto.last_at == NOW, "that the site can take over was tried all the same"
    both = judged(well(), (PastRun("failover", "f", NOW - 900, 40.0), *moves))
    assert (both.rto.predicted_seconds, both.rto.basis) == (40.0, "the last failover")


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
    wanted = "former-primary" if shut_out else "streaming"
    (hint,) = (finding.hint for finding in judged(seen).findings if finding.check == wanted)
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


STOPPED = DatabaseState(Role.STOPPED, streaming=Streaming.STOPPED, reason="no postmaster runs")


@pytest.mark.parametrize(
    ("world", "held"),
    [
        (lambda: former(), "held read-only by its guard: bergen is in generation 2"),
        (lambda: former(STOPPED), "is stopped; its guard holds it: bergen is in generation 2"),
        (lambda: former(STOPPED, guard_reason=None), "is stopped: bergen has shut it out"),
        (lambda: former() | {"oslo": Silence("oslo", "no answer", NOW - 60)}, "does not answer: no answer"),
        (lambda: former() | {"oslo": Silence("oslo", "no answer")}, "does not answer: no answer"),
    ],
)
def test_a_former_primary_is_one_finding_with_the_way_back_and_nothing_that_only_follows(
    world: Callable[[], Views], held: str
) -> None:
    status = judged(world(), (PastRun("failover", "1", NOW - 60, 3.0),))
    (found,) = [finding for finding in status.findings if finding.severity is not Severity.INFO]
    assert (found.check, found.severity, found.site) == ("former-primary", Severity.CRITICAL, "oslo")
    assert found.message.startswith("was primary") and held in found.message
    assert "bergen works without a standby" in found.message
    assert "`secondsite failback`" in found.hint and "`secondsite apply --replace-standby oslo`" in found.hint
    assert {finding.check for finding in status.following} >= {"quarantine", "slot", "rpo"}
    assert not status.ready
    answers = {check.name: answer for check, answer in status.asked}
    assert all(answers[finding.check].ok is not True for finding in status.following), "what follows is no yes"


def test_what_has_nothing_to_do_with_a_former_primary_is_told_beside_it() -> None:
    seen = former(disk_free_bytes=10**8)
    assert {"former-primary", "disk"} <= {finding.check for finding in judged(seen).findings}


def test_a_former_primary_that_boots_is_one_finding_though_its_agent_does_not_run_yet() -> None:
    status = judged(former(agent_running=False))
    assert [one.check for one in status.findings if one.severity is Severity.CRITICAL] == ["former-primary"]
    assert "agent" in {finding.check for finding in status.following}
    alone = judged(bergen(agent_running=False))
    assert "agent" in {finding.check for finding in alone.findings}, "of a standby it is told"


def test_a_site_that_follows_again_is_no_former_primary() -> None:
    """A failback has begun, or the guard's last word is old: it streams, so it is the standby."""
    assert judged(oslo(quarantining_peer=True)).situation.former is None
    assert judged(bergen(guard_reason="old")).situation.former is None
    seen = well() | {"oslo": Silence("oslo", "no answer", NOW, site("oslo", primary()))}
    assert judged(seen).situation.former is None, "it is the primary that is silent"


@pytest.mark.parametrize("reason", [None, "bergen is in generation 2, this site only in 1"])
def test_a_former_primary_whose_database_nobody_could_look_at_may_still_accept_writes(reason: str | None) -> None:
    seen = former(DatabaseState(Role.UNKNOWN, reason="the database does not answer"), guard_reason=reason)
    (found,) = (finding for finding in judged(seen).findings if finding.check == "former-primary")
    assert "may still accept writes" in found.message and "the database does not answer" in found.message
    assert "read-only" not in found.message and "stop" in found.hint
    assert word(seen, "two-primaries")[0] == Word.NOT_SEEN


def test_a_former_primary_that_a_switchover_holds_is_told_the_command_that_goes_on_with_it() -> None:
    seen = former(STOPPED, guard_reason="bergen takes over by switchover 2026-x")
    (hint,) = (finding.hint for finding in judged(seen).findings if finding.check == "former-primary")
    assert "at bergen: `secondsite switchover --resume`" in hint


def word(seen: Views, check: str, history: tuple[PastRun, ...] = (), file: Spec = SPEC) -> tuple[str, str | None]:
    (answer,) = (answer for one, answer in judged(seen, history, file).asked if one.name == check)
    return answer.word, answer.why


NOBODY: Views = {
    "oslo": Silence("oslo", "not there", set_up=False),
    "bergen": Silence("bergen", "no answer", NOW - 5),
}


def test_where_nobody_could_look_no_question_is_answered_with_yes() -> None:
    status = judged(NOBODY)
    answers = {check.name: answer for check, answer in status.asked}
    assert {name for name, answer in answers.items() if answer.word is Word.NO} == {"reachable"}
    unnamed = {
        "reachable",
        "delayed-standby",
        "delayed-slot",
        "fence-commands",
        "pooler",
        "pooler-target",
        "pooler-waits",
        "versions",
    }
    assert all(answer.word is Word.NOT_SEEN for name, answer in answers.items() if name not in unnamed)
    assert all(answers[name].word is Word.NOTHING for name in unnamed - {"reachable"})
    assert answers["agent"].why == "oslo is not set up; bergen does not answer"
    assert answers["slot"].why == "no site is known to be primary"
    assert answers["rto"].why == "it has never been measured"
    assert "rehearsed" not in {finding.check for finding in status.findings}, "nobody could remember one"
    hints = {finding.site: finding.hint for finding in status.findings if finding.check == "reachable"}
    assert "`secondsite apply` does it" in hints["oslo"] and "network" not in hints["oslo"]
    assert "then `secondsite apply`" in hints["bergen"]


@pytest.mark.parametrize(
    ("check", "seen"),
    [
        ("collations", bergen(condition=None)),
        ("slot", well() | {"oslo": site("oslo", DatabaseState(Role.UNKNOWN))}),
        ("two-primaries", well() | {"bergen": site("bergen", DatabaseState(Role.UNKNOWN))}),
        ("streaming", well() | {"bergen": site("bergen", DatabaseState(Role.UNKNOWN))}),
        ("same-cluster", on_standby(system_identifier=None)),
        ("timeline", on_standby(timeline=None)),
        ("standby-settings", on_standby(settings=())),
        ("replay-paused", well() | {"bergen": site("bergen", STOPPED)}),
        ("commit-mode", on_primary(settings=())),
        ("files", bergen(files=())),
        ("files", bergen(files=(FileSetState("uploads", FilesStatus.UNKNOWN),))),
        ("rpo", bergen(files=())),
        ("units", bergen(units=())),
        ("application", oslo(healthy=None)),
        ("disk", bergen(disk_free_bytes=None)),
        ("handshake", bergen(tunnel=TunnelState(up=False))),
        ("dns-target", record(MUTE, points_to=None)),
        ("dns-key", bergen(dns=())),
        ("agent-duties", bergen(agent_running=False)),
        ("rto", well()),
    ],
)
def test_a_question_that_a_site_could_not_look_at_is_not_answered(check: str, seen: Views) -> None:
    said, why = word(seen, check)
    assert said == Word.NOT_SEEN and why


def test_what_the_file_does_not_name_is_neither_right_nor_wrong() -> None:
    lean = SPEC.model_copy(update={"dns": (), "files": ()})
    bare = {name: replace(state, dns=(), files=()) for name, state in well().items() if isinstance(state, SiteState)}
    status = assess(lean, bare, (), datetime.fromtimestamp(NOW, UTC))
    answers = {check.name: answer for check, answer in status.asked}
    nothing = {name for name, answer in answers.items() if answer.word is Word.NOTHING}
    named_in_no_file_here = {
        "delayed-standby",
        "delayed-slot",
        "fence-commands",
        "pooler",
        "pooler-target",
        "pooler-waits",
        "versions",
        "zfs-delegation",
        "zfs-pool",
        "zfs-space",
    }
    assert (
        nothing == {"files", "files-blocked", "dns-target", "dns-key", "dns-ttl", "dns-servers"} | named_in_no_file_here
    )
    assert all(answers[name].ok is None for name in nothing)


def test_a_failover_that_was_taken_back_is_told_with_its_cause_and_the_next_command() -> None:
    last = ended("rolled_back", 300, why="oslo could not be fenced", hint="make sure that it is off", to="bergen")
    status = judged(bergen(last_procedure=last))
    (found,) = (finding for finding in status.findings if finding.check == "last-procedure")
    assert found.message == (
        "the last procedure, 20261122T094519Z-failover-92be, was taken back 5 min ago: oslo could not be fenced"
    )
    assert found.hint.startswith("make sure that it is off; to try again: `secondsite failover --to bergen`")
    assert found.severity is Severity.WARNING and status.ready


def test_a_procedure_that_completed_is_information_for_a_day_and_only_the_newest_is_told() -> None:
    done, old = ended("completed", 60), ended("rolled_back", 4000)
    seen = bergen(last_procedure=old) | {"oslo": site("oslo", primary(), last_procedure=done)}
    (found,) = (finding for finding in judged(seen).findings if finding.check == "last-procedure")
    assert (found.severity, found.site) == (Severity.INFO, "oslo") and "completed 60 s ago" in found.message
    assert word(seen, "last-procedure")[0] == Word.YES, "information is no no"
    for last in (ended("completed", 90_000), ended("rolled_back", 8 * 86_400)):
        assert "last-procedure" not in {finding.check for finding in judged(bergen(last_procedure=last)).findings}


def test_what_only_the_source_can_mend_is_looked_for_at_the_source() -> None:
    words = 'rsync: [sender] readdir("/bad" (in uploads)): Bad message (74)'
    uploads = FileSetState("uploads", FilesStatus.FAILED, NOW - 600, reason=f"{SOURCE_UNREADABLE}: {words}")
    (found,) = [one for one in judged(bergen(files=(uploads,))).findings if one.check == "files"]
    assert words in found.message
    assert "at the source" in found.hint


def too_late(status: FilesStatus, **more: object) -> str:
    """The hint of the objective, of a set that is 60 s behind."""
    late = FileSetState("uploads", status, **{"complete_at": NOW - 60, "kept": "pull", **more})  # type: ignore[arg-type]
    (found,) = (one for one in judged(bergen(files=(late,))).findings if one.check == "rpo")
    return found.hint


@pytest.mark.parametrize("status", [FilesStatus.BLOCKED, FilesStatus.FAILED, FilesStatus.STALE, FilesStatus.UNKNOWN])
def test_the_objective_refers_to_another_finding_only_where_there_is_one(status: FilesStatus) -> None:
    others = {one.check for one in judged(bergen(files=(FileSetState("uploads", status, NOW - 60),))).findings}
    assert others & {"files", "files-blocked"}
    assert too_late(status) == "see the other findings"


@pytest.mark.parametrize("status", [FilesStatus.CURRENT, FilesStatus.PULLING])
def test_a_set_that_comes_too_late_and_has_no_other_finding_is_told_with_what_is_known(status: FilesStatus) -> None:
    hint = too_late(status)
    assert "other findings" not in hint
    assert "its last pulls took as long" in hint and "`secondsite status --watch`" in hint
    assert "at bergen and oslo: journalctl" in hint
    assert too_late(status, reason="4000 changed paths wait at the source").startswith("4000 changed paths wait")
    assert too_late(status, coming=Coming(30, 100)).startswith("30% of what comes is here")


def test_a_first_copy_and_an_interval_longer_than_the_objective_are_named_as_what_they_are() -> None:
    assert "first copy is not complete" in too_late(FilesStatus.PULLING, complete_at=None)
    seldom = Spec.model_validate(FILE | {"files": [{"name": "uploads", "path": "/srv/uploads", "interval": "30s"}]})
    late = (FileSetState("uploads", FilesStatus.CURRENT, NOW - 28, kept="pull"),)
    (found,) = (one for one in judged(bergen(files=late), file=seldom).findings if one.check == "rpo")
    assert "pulled each 30 s" in found.hint and "`interval` shorter" in found.hint


def test_a_database_that_streams_and_is_behind_is_not_sent_to_findings_that_are_not_there() -> None:
    seen = on_standby(heartbeat_at=NOW - 60, primary_told_at=NOW - 60)
    (found,) = (one for one in judged(seen).findings if one.check == "rpo")
    assert "status --watch" in found.hint
