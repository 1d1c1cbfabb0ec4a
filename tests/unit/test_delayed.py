"""The delayed standby without a server: what its configuration says, and what is found out about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from secondsite.cli.views.status import shown
from secondsite.database.cluster import Cluster
from secondsite.database.conffile import effective, parse
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.delayed.parted import cannot_start, no_way_on
from secondsite.database.delayed.place import SLOT, files, local_lines, node
from secondsite.database.hba import body
from secondsite.database.slot import PREFIX
from secondsite.database.state import SlotState
from secondsite.objectives.document import document
from secondsite.objectives.finding import Word
from secondsite.objectives.snapshot import Silence, SiteView, from_json, to_json
from secondsite.objectives.status import Status, assess
from secondsite.spec import Spec
from tests.unit.objectives_worlds import NOW, primary, site, spec, standby, well

SPEC = spec(delayed={"site": "bergen", "cluster": "15/delayed", "delay": "1h"})
DELAYED = SPEC.database.delayed
GOOD = DelayedState(None, True, True, False, NOW - 3601, 4096)


def judged(found: DelayedState | None) -> Status:
    seen: dict[str, SiteView] = well() | {"bergen": site("bergen", standby(), delayed=found)}
    return assess(SPEC, seen, (), datetime.fromtimestamp(NOW, UTC))


def word(status: Status) -> Word:
    (answer,) = (answer for check, answer in status.asked if check.name == "delayed-standby")
    return answer.word


def test_it_listens_on_no_network_and_has_at_least_what_its_primary_has() -> None:
    assert DELAYED is not None
    upstream, mine = Cluster("15", "main", 5432), node(DELAYED).cluster
    told = files(DELAYED, mine, upstream, {"max_connections": "300", "work_mem": "4MB"}, "")
    found = effective(parse(told[Path("/etc/postgresql/15/delayed/postgresql.conf")]))
    assert found["listen_addresses"] == "" and found["max_connections"] == "300"
    assert found["recovery_min_apply_delay"] == "3600s" and found["port"] == "5433"
    assert "work_mem" not in found and "password" not in found["primary_conninfo"]
    assert told[Path("/etc/postgresql/15/delayed/start.conf")] == "auto\n"


def test_who_may_log_in_locally_there_may_log_in_here_and_nobody_else() -> None:
    hba = "# local\nlocal all postgres peer\nhost all all 0.0.0.0/0 trust\n  local  all all peer\n"
    assert local_lines(hba) == "local all postgres peer\n  local  all all peer\n"


def test_its_slot_outlives_a_change_of_roles() -> None:
    assert not SLOT.startswith(PREFIX)


def test_it_may_replicate_through_the_unix_socket_only_where_the_file_keeps_one() -> None:
    row = ["local", "replication", "postgres", "peer"]
    assert row in [line.split() for line in body(SPEC, "10.10.0.2").splitlines()]
    assert row not in [line.split() for line in body(spec(), "10.10.0.2").splitlines()]


def test_one_that_follows_is_found_well() -> None:
    status = judged(GOOD)
    assert word(status) is Word.YES
    (found,) = [document(status)["delayed"]]
    assert (found["state"], found["delay_seconds"], found["shows_seconds_ago"]) == ("streaming", 3600, 3601)


@pytest.mark.parametrize(
    ("found", "state", "told"),
    [
        (DelayedState(reason="no cluster 15/delayed on this host"), "stopped", "does not answer"),
        (replace(GOOD, in_recovery=False), "promoted", "promoted"),
        (replace(GOOD, paused=True), "paused", "paused"),
        (replace(GOOD, shows=NOW - 3600 - 900), "streaming", "900 s later than it should be"),
        (replace(GOOD, receiving=False, waiting_bytes=0), "receiver-down", "receives nothing"),
        (replace(GOOD, receiving=False, waiting_bytes=None), "receiver-down", "receives nothing"),
        (
            replace(GOOD, receiving=False, waiting_bytes=None, started_at=NOW - 3601),
            "receiver-down",
            "receives nothing",
        ),
        (replace(GOOD, receiving=False, waiting_bytes=24, stuck="forked off"), "receiver-down", "any more: forked off"),
    ],
)
def test_one_that_will_not_help_is_a_warning(found: DelayedState, state: str, told: str) -> None:
    status = judged(found)
    (finding,) = (finding for finding in status.findings if finding.check == "delayed-standby")
    assert told in finding.message and finding.site == "bergen" and finding.hint
    assert word(status) is Word.NO and status.ready
    assert document(status)["delayed"]["state"] == state


def test_one_that_holds_wal_back_and_has_no_receiver_just_waits() -> None:
    assert word(judged(replace(GOOD, receiving=False))) is Word.YES
    assert document(judged(replace(GOOD, receiving=False)))["delayed"]["state"] == "waiting"


def test_after_a_start_nobody_knows_what_it_has_received_and_for_one_delay_that_is_waiting() -> None:
    started = replace(GOOD, receiving=False, waiting_bytes=None, started_at=NOW - 3599)
    assert word(judged(started)) is Word.YES
    assert document(judged(started))["delayed"]["state"] == "waiting"


def test_a_state_of_an_older_version_is_still_read() -> None:
    older = to_json(site("bergen", standby(), delayed=GOOD))
    del older["delayed"]["started_at"], older["delayed"]["stuck"]
    assert from_json(older).delayed == GOOD


def test_a_pause_is_ended_in_the_way_that_fits_what_has_made_it() -> None:
    (finding,) = (one for one in judged(replace(GOOD, paused=True)).findings if one.check == "delayed-standby")
    assert finding.hint.startswith("after pg_wal_replay_pause(): SELECT pg_wal_replay_resume()")
    assert "after a rescue file" in finding.hint and "systemctl stop postgresql@15-delayed.service" in finding.hint


def of_slot(seen: dict[str, SiteView], the_file: Spec = SPEC) -> list[tuple[str | None, str, str]]:
    status = assess(the_file, seen, (), datetime.fromtimestamp(NOW, UTC))
    return [(one.site, one.message, one.hint) for one in status.findings if one.check == "delayed-slot"]


def test_a_slot_that_was_given_up_is_told_and_one_in_use_is_not() -> None:
    kept = SlotState(SLOT, False, "reserved", 10**9)
    here: dict[str, SiteView] = {"bergen": site("bergen", standby(slots=(kept,)), delayed=GOOD)}
    assert of_slot(well() | here) == []
    gone: dict[str, SiteView] = {
        "bergen": site("bergen", standby(slots=(replace(kept, wal_status="lost"),)), delayed=GOOD)
    }
    ((where, message, hint),) = of_slot(well() | gone)
    assert where == "bergen" and "given up" in message and "copies it again" in hint


@pytest.mark.parametrize(("the_file", "where"), [(SPEC, "oslo"), (spec(), "oslo"), (spec(), "bergen")])
def test_a_slot_that_is_left_where_none_is_kept_is_told_with_what_removes_it(the_file: Spec, where: str) -> None:
    left = SlotState(SLOT, False, "reserved", 10**9)
    database = primary(slots=(*primary().slots, left)) if where == "oslo" else standby(slots=(left,))
    ((told, message, hint),) = of_slot(well() | {where: site(where, database)}, the_file)
    assert told == where and "keeps WAL" in message
    assert hint == "SELECT pg_drop_replication_slot('delayed_secondsite') in 15/main"


START = "2026-11-22 14:00:00.000 GMT [7] LOG:  starting PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64"
STREAMS = "2026-11-22 14:00:01.000 GMT [9] LOG:  started streaming WAL from primary at 0/3000000 on timeline 1"
REMOVED = (
    "2026-11-22 14:00:02.000 GMT [9] FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment"
    " 000000010000000000000003 has already been removed"
)
FORKED = (
    "2026-11-22 14:00:02.000 GMT [8] LOG:  new timeline 2 forked off current database system timeline 1 before current"
    " recovery point 0/30000A0"
)
NOT_HERE = (
    "2026-11-22 14:00:02.000 GMT [9] FATAL:  could not start WAL streaming: ERROR:  requested starting point 0/5000000"
    " on timeline 1 is not in this server's history"
)
ENDED = "2026-11-22 14:00:03.000 GMT [9] FATAL:  terminating walreceiver process due to administrator command"
UNREACHED = "2026-11-22 14:00:04.000 GMT [9] FATAL:  could not connect to the primary server: connection refused"
ASKED = "2026-11-22 14:00:04.000 GMT [11] ERROR:  requested WAL segment 00 has already been removed"
NO_CHILD = "2026-11-22 14:00:04.000 GMT [8] FATAL:  requested timeline 2 is not a child of this server's history"

NOT_HELD = (
    "2026-11-22 14:00:04.000 GMT [8] FATAL:  requested timeline 2 does not contain minimum recovery point 0/301CE08 on"
    " timeline 1"
)


@pytest.mark.parametrize("last", [REMOVED, FORKED, NOT_HERE])
def test_the_last_word_of_its_receiver_proves_that_no_way_leads_on(last: str) -> None:
    told = no_way_on([START, STREAMS, last, "\tDETAIL:  of it", ENDED])
    assert told is not None and last.endswith(told)
    assert no_way_on([STREAMS, last]) == told, "the log was rotated since the start"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [START, STREAMS],
        [START, REMOVED, UNREACHED],
        [START, REMOVED, STREAMS],
        [START, REMOVED, START],
        [START, STREAMS, ENDED],
        [START, STREAMS, ASKED],
    ],
)
def test_anything_else_proves_nothing(rows: list[str]) -> None:
    assert no_way_on(rows) is None and cannot_start(rows) is None


def test_one_that_cannot_start_on_the_new_timeline_is_known_by_its_last_word() -> None:
    assert cannot_start([START, NO_CHILD, "LOG:  aborting startup due to startup process failure"]) is not None
    assert cannot_start([START, NOT_HELD]) == NOT_HELD.partition("FATAL:  ")[2]
    assert cannot_start([START, NO_CHILD, START, STREAMS]) is None
    assert cannot_start([START, FORKED]) is None, "it may start, and tell again"


def test_nobody_has_looked_is_no_yes() -> None:
    assert word(judged(None)) is Word.NOT_SEEN
    silent = well() | {"bergen": Silence("bergen", "no answer", NOW)}
    assert word(assess(SPEC, silent, (), datetime.fromtimestamp(NOW, UTC))) is Word.NOT_SEEN


def test_a_person_sees_how_far_back_it_shows() -> None:
    console = Console(width=90, record=True)
    console.print(shown(document(judged(GOOD)), 90))
    text = console.export_text()
    assert "delayed by" in text and "15/delayed" in text and "ago" in text
