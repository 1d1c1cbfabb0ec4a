"""Units and packages: what systemctl and apt-get say, taken apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secondsite.agent import converge as agent
from secondsite.converge import apt, units
from secondsite.converge.files import TextFile
from secondsite.converge.units import Unit, UnitFile, UnitLook, last_words, parse_show
from secondsite.database.cluster import Cluster
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import FinalError, RetryableError
from secondsite.process import Completed
from secondsite.recovery import guard_converge
from secondsite.recovery.guard_converge import Rejoined
from secondsite.spec import paths
from tests.unit.objectives_worlds import SPEC

SHOWN = """LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
ActiveEnterTimestampMonotonic=5000000
"""


def test_systemctl_show_is_read_with_its_monotonic_time() -> None:
    look = parse_show(SHOWN, wall=1000.0, monotonic=60.0)
    assert look == UnitLook("loaded", "active", "running", "enabled", False, 945.0)
    assert look.running


def test_a_unit_that_never_ran_has_no_time() -> None:
    look = parse_show("LoadState=not-found\nActiveState=inactive\n", wall=1.0, monotonic=1.0)
    assert look.load == "not-found" and look.active_since is None and not look.running


@pytest.mark.parametrize(("age", "outdated"), [(-10.0, False), (10.0, True)])
def test_a_unit_is_outdated_where_its_file_is_newer(tmp_path: Path, age: float, outdated: bool) -> None:
    path = tmp_path / "conf"
    path.touch()
    os.utime(path, (1000.0 + age, 1000.0 + age))
    now = UnitLook("loaded", "active", "running", "enabled", False, 1000.0)
    assert Unit("x.service", files=(path,))._outdated(now) is outdated


@pytest.mark.parametrize("differs", [True, False])
async def test_a_plan_sees_the_restart_that_a_file_which_is_not_written_yet_will_bring(
    tmp_path: Path, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan showed the file and not the restart; apply then made both."""

    async def look(_: str) -> UnitLook:
        return UnitLook("loaded", "active", "running", "enabled", False, 1e12)

    monkeypatch.setattr(units, "look", look)
    (tmp_path / "conf").write_text("old")
    file = TextFile(tmp_path / "conf", "new" if differs else "old", mode=(tmp_path / "conf").stat().st_mode & 0o777)
    change = await Unit("x.service", files=(file.path,), written=(file,)).plan()
    assert (change.summary if change else None) == ("restart (its files are newer)" if differs else None)


async def test_a_plan_of_a_replacement_lets_the_guard_go_though_the_copy_is_not_made_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "FENCED", tmp_path / "fenced")
    monkeypatch.setattr(paths, "GUARD_VERDICT", tmp_path / "guard.json")
    monkeypatch.setattr(guard_converge, "observe", lambda _: DatabaseState(Role.STOPPED))
    cluster = Cluster("15", "main")
    assert await Rejoined(cluster, planned=True).plan() is None  # nothing holds it
    (tmp_path / "fenced").touch()
    assert await Rejoined(cluster, planned=True).plan() is not None
    assert await Rejoined(cluster).plan() is None


def test_a_plan_knows_the_release_that_it_will_make_current() -> None:
    (file, unit) = agent.resources(SPEC, "oslo", wanted="0.2.0-abc")
    assert isinstance(file, UnitFile) and "SECONDSITE_RELEASE=0.2.0-abc" in file.content
    assert isinstance(unit, Unit) and file.file in unit.written


def test_last_words_leave_out_systemds_own() -> None:
    log = "Starting x.service - X...\nbind: address in use\nx.service: Main process exited, code=exited\n"
    assert last_words(log) == "bind: address in use"
    assert last_words("x.service: Failed with result 'exit-code'.") == "x.service: Failed with result 'exit-code'."


def told(stderr: str) -> Completed:
    return Completed(("apt-get",), 100, "", stderr)


def test_a_package_that_nobody_offers() -> None:
    error = apt.failure(told("E: Unable to locate package wireguard-go\n"), ["wireguard-go"])
    assert isinstance(error, FinalError) and error.slug == "package-unavailable"
    assert "wireguard-go" in error.message


def test_a_server_of_another_major_version_is_told_as_that() -> None:
    stderr = "E: Unable to locate package postgresql-15\nE: Unable to locate package postgresql-client-15\n"
    error = apt.failure(told(stderr), ["postgresql-15", "postgresql-client-15"])
    assert error.slug == "postgresql-version" and "postgresql-15" in error.message


def test_a_package_without_a_candidate() -> None:
    assert apt.not_found("E: Package 'python3.11' has no installation candidate") == ("python3.11",)


def test_a_lock_that_is_held_may_be_tried_again() -> None:
    lock = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)\n"
    error = apt.failure(told(lock), ["rsync"])
    assert isinstance(error, RetryableError) and error.slug == "apt-locked" and "process 7" in error.message


def test_any_other_failure_shows_apts_own_words() -> None:
    error = apt.failure(told("W: odd\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n"), ["rsync"])
    assert error.slug == "apt-failed" and "Sub-process" in error.message


def test_an_archive_that_moved_on_means_old_lists() -> None:
    assert apt.stale("E: Failed to fetch http://x/y.deb  404  Not Found")
    assert not apt.stale("E: Broken packages")
