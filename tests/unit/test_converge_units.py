"""Units and packages: what systemctl and apt-get say, taken apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secondsite.converge import apt
from secondsite.converge.units import Unit, UnitLook, last_words, parse_show
from secondsite.errors import FinalError, RetryableError
from secondsite.process import Completed

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
