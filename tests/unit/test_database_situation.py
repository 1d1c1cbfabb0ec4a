"""What is done where a standby's data belongs: every case of the decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from secondsite.database.cluster import Cluster
from secondsite.database.controldata import ControlData, parse
from secondsite.database.facts import HostFacts
from secondsite.database.seed import _data_folder
from secondsite.database.situation import Act, DataFolder, Situation, decide, describe
from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.errors import FinalError

GB = 10**9
CONTROL = ControlData("in archive recovery", "7", 1, 1000, 900, 20000, True, False, 2**24, "202209061", 1.7e9)
PRIMARY = HostFacts("oslo", "primary", system_identifier="7", data_bytes=GB, oldest_wal=500)
RUNNING = DatabaseState(Role.STANDBY, streaming=Streaming.STREAMING)
STOPPED = DatabaseState(Role.STOPPED)
STANDBY = DataFolder(CONTROL, "15", standby_signal=True)
EMPTY = Situation("15", PRIMARY, DatabaseState(Role.ABSENT), disk_free_bytes=10 * GB)


@pytest.mark.parametrize(("mark", "standby"), [("", True), ("secondsite: fenced", False), (None, False)])
async def test_a_former_primary_is_told_with_its_size(tmp_path: Path, mark: str | None, standby: bool) -> None:
    """Our standby.signal holds it read-only; the data in it is still what a person would give up."""

    class Here(Cluster):
        @property
        def data(self) -> Path:
            return tmp_path

    (tmp_path / "base").write_bytes(b"x" * 100_000)
    if mark is not None:
        (tmp_path / "standby.signal").write_text(mark)
    found = await _data_folder(Here("15", "main"))
    assert found is not None
    assert (found.standby_signal, found.bytes >= 100_000) == (standby, not standby)


def test_an_empty_host_is_seeded() -> None:
    assert decide(EMPTY) is Act.SEED


@pytest.mark.parametrize("streaming", [Streaming.STREAMING, Streaming.CATCHING_UP, Streaming.PAUSED])
def test_a_standby_that_receives_is_left_alone(streaming: Streaming) -> None:
    state = replace(RUNNING, streaming=streaming)
    assert decide(replace(EMPTY, database=state, data=STANDBY)) is Act.NOTHING


def test_a_standby_is_left_alone_even_where_the_primary_does_not_answer() -> None:
    assert decide(replace(EMPTY, primary=None, database=RUNNING, data=STANDBY)) is Act.NOTHING


def test_a_standby_that_does_not_receive_is_started_or_follows_again() -> None:
    assert decide(replace(EMPTY, database=STOPPED, data=STANDBY)) is Act.START
    assert decide(replace(EMPTY, database=STOPPED, data=replace(STANDBY, cut=True))) is Act.FOLLOW


def test_a_standby_that_needs_wal_which_is_gone_is_seeded_again() -> None:
    late = replace(PRIMARY, oldest_wal=5000)
    assert decide(replace(EMPTY, primary=late, database=STOPPED, data=STANDBY)) is Act.RESEED


def test_a_site_that_has_quarantined_its_peer_does_not_follow_it() -> None:
    with pytest.raises(FinalError) as refused:
        decide(replace(EMPTY, database=STOPPED, data=STANDBY, quarantined=True))
    assert refused.value.slug == "peer-quarantined"


def test_a_copy_that_runs_is_joined_and_a_finished_one_used_unless_it_is_too_old_or_anothers() -> None:
    assert decide(replace(EMPTY, job_running=True)) is Act.ATTACH
    assert decide(replace(EMPTY, copy=CONTROL)) is Act.SWAP
    assert decide(replace(EMPTY, copy=replace(CONTROL, redo_lsn=400))) is Act.SEED
    assert decide(replace(EMPTY, copy=replace(CONTROL, system_identifier="8"))) is Act.SEED


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"disk_free_bytes": 2 * GB}, "disk-too-small"),
        (
            {"version": "16", "primary": replace(PRIMARY, settings={"server_version": "15.18 (Debian)"})},
            "version-mismatch",
        ),
        ({"port_holder": "another program"}, "port-taken"),
        ({"blocked_tablespaces": ("/srv/space",)}, "tablespace-taken"),
        ({"mount_point": True}, "data-is-mount-point"),
        ({"primary": None}, "primary-unknown"),
    ],
)
def test_a_copy_that_could_not_work_is_not_begun(change: dict[str, object], slug: str) -> None:
    with pytest.raises(FinalError) as refused:
        decide(replace(EMPTY, **change))  # type: ignore[arg-type]
    assert refused.value.slug == slug


def test_what_is_not_a_standby_of_this_primary_needs_a_person_whatever_it_is() -> None:
    former = replace(CONTROL, state="shut down")
    for data in (
        DataFolder(None, None, standby_signal=False),
        DataFolder(former, "15", standby_signal=False),
        DataFolder(replace(CONTROL, system_identifier="8"), "15", standby_signal=True),
    ):
        with pytest.raises(FinalError) as refused:
            decide(replace(EMPTY, database=STOPPED, data=data))
        assert refused.value.slug == "foreign-data-directory"
        assert decide(replace(EMPTY, database=STOPPED, data=data, replace=True)) is Act.SEED


def test_a_cluster_in_which_nobody_ever_made_anything_is_in_nobodys_way() -> None:
    untouched = replace(CONTROL, state="shut down", system_identifier="8", next_oid=13572)
    assert decide(replace(EMPTY, data=DataFolder(untouched, "15", standby_signal=False))) is Act.SEED


def test_two_primaries_of_one_database_are_never_resolved_by_replacing_one() -> None:
    both = replace(EMPTY, database=DatabaseState(Role.PRIMARY), data=DataFolder(CONTROL, "15", False), replace=True)
    with pytest.raises(FinalError) as refused:
        decide(both)
    assert refused.value.slug == "two-primaries"


def test_a_former_primary_goes_back_from_the_newest_timeline_that_it_wrote_on() -> None:
    """The last checkpoint of one that was promoted a moment ago names the timeline before."""
    former = DataFolder(replace(CONTROL, state="in production", recovery_timeline=2), "15", standby_signal=False)
    gone = replace(EMPTY, data=former, database=STOPPED, replace=True)
    assert decide(replace(gone, primary=replace(PRIMARY, forks=((1, 500), (2, 900))))) is Act.REWIND
    assert decide(replace(gone, primary=replace(PRIMARY, forks=((1, 500),)))) is Act.SEED
    assert "timeline 2" in describe(former, PRIMARY)


def test_control_data_is_read_from_the_programs_words() -> None:
    text = """\
Catalog version number:               202209061
Database system identifier:           7642011472967116994
Database cluster state:               shut down in recovery
pg_control last modified:             Wed May 20 16:27:30 2026
Latest checkpoint location:           1/1500718
Latest checkpoint's REDO location:    1/1500700
Latest checkpoint's TimeLineID:       3
Latest checkpoint's NextOID:          13572
Min recovery ending loc's timeline:   4
wal_log_hints setting:                on
Bytes per WAL segment:                16777216
Data page checksum version:           1
"""
    found = parse(text)
    assert (found.state, found.timeline, found.checkpoint_lsn) == ("shut down in recovery", 3, 2**32 + 0x1500718)
    assert found.was_standby and found.untouched and found.checksums and found.wal_log_hints
    assert found.modified_at == 1779294450.0
    assert found.generation == 4, "its recovery has come further than its last checkpoint"
    with pytest.raises(ValueError, match="state"):
        parse("nothing")
