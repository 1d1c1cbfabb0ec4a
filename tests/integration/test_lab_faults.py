"""What breaks inside a host of the lab: the database stands still, the disk is full, the clock jumps; and all heals."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from secondsite_lab.testing import Done, RunningLab, running_lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    with running_lab(f"faults-{os.getpid()}", "--database-on-disk") as running:
        yield running


def asked(lab: RunningLab, statement: str, seconds: int = 5) -> Done:
    words = ("timeout", str(seconds), "psql", "-XAtqc", statement, "shop")
    return lab.command("exec", "oslo", "--user", "postgres", "--", *words)


def test_a_frozen_database_answers_nobody_and_loses_no_connection(lab: RunningLab) -> None:
    before = asked(lab, "SELECT pg_postmaster_start_time()").out
    lab.must("fault", "freeze", "oslo")
    assert asked(lab, "SELECT 1", seconds=2).code == 124
    lab.must("fault", "heal", "oslo")
    assert asked(lab, "SELECT pg_postmaster_start_time()").out == before
    assert "no PostgreSQL runs at bergen" in lab.command("fault", "freeze", "bergen").err


def test_a_full_disk_is_one_for_database_and_files_and_the_room_comes_back(lab: RunningLab) -> None:
    fill = "CREATE TABLE large AS SELECT repeat('x', 900) FROM generate_series(1, 30000)"
    lab.must("fault", "fill-disk", "oslo")
    assert "No space left on device" in asked(lab, fill, seconds=30).err
    assert lab.command("exec", "oslo", "--", "sh", "-c", "head -c 1000000 /dev/zero >/srv/more").code != 0
    lab.must("fault", "heal", "oslo")
    lab.inside("oslo", "sh", "-c", "head -c 1000000 /dev/zero >/srv/more && rm /srv/more")
    assert asked(lab, f"{fill}; DROP TABLE large", seconds=30).code == 0


def test_the_clock_of_one_hosts_services_jumps_and_nobody_elses(lab: RunningLab) -> None:
    def ahead() -> float:
        return float(asked(lab, "SELECT extract(epoch FROM clock_timestamp())").out) - time.time()

    lab.must("fault", "clock", "oslo", "3600")
    time.sleep(1.5)
    assert 3590 < ahead() < 3610
    started = asked(lab, "SELECT pg_postmaster_start_time()").out
    lab.must("fault", "clock", "oslo", "-120")
    time.sleep(1.5)
    assert -130 < ahead() < -110
    assert abs(float(lab.inside("oslo", "date", "+%s.%N")) - time.time()) < 5, "a program of no service is not meant"
    lab.must("fault", "heal", "oslo")
    time.sleep(1.5)
    assert abs(ahead()) < 5
    assert asked(lab, "SELECT pg_postmaster_start_time()").out == started, "a jump restarts nothing"
