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
from secondsite.database.delayed.place import SLOT, files, local_lines, node
from secondsite.database.hba import body
from secondsite.database.slot import PREFIX
from secondsite.objectives.document import document
from secondsite.objectives.finding import Word
from secondsite.objectives.snapshot import Silence, SiteView
from secondsite.objectives.status import Status, assess
from tests.unit.objectives_worlds import NOW, site, spec, standby, well

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


def test_nobody_has_looked_is_no_yes() -> None:
    assert word(judged(None)) is Word.NOT_SEEN
    silent = well() | {"bergen": Silence("bergen", "no answer", NOW)}
    assert word(assess(SPEC, silent, (), datetime.fromtimestamp(NOW, UTC))) is Word.NOT_SEEN


def test_a_person_sees_how_far_back_it_shows() -> None:
    console = Console(width=90, record=True)
    console.print(shown(document(judged(GOOD)), 90))
    text = console.export_text()
    assert "delayed by" in text and "15/delayed" in text and "ago" in text
