"""What a journal owes on a disk that is full: a real file system of some pages, and the fake of the unit tests."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite.clock import SystemClock
from secondsite.recovery.journal import Journal, Kind, read
from tests.fakes.journal import FullDisk

BODY = {"step": "look", "site": "bergen", "words": "x" * 300}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Three pages of memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.needs_root), "fake"])
def journal(request: pytest.FixtureRequest) -> Iterator[Journal]:
    real = request.param == "real"
    folder: Path = request.getfixturevalue("small_disk" if real else "tmp_path")
    made = Journal(folder / "j.jsonl", SystemClock()) if real else FullDisk(folder / "j.jsonl", SystemClock())
    made.append(Kind.OPENED, {})
    yield made
    made.close()


def fill(journal: Journal) -> OSError:
    """Write until no record fits any more."""
    for _ in range(10_000):
        try:
            journal.append(Kind.INTENT, BODY)
        except OSError as full:
            return full
    raise AssertionError("the disk is never full")


def test_a_record_that_does_not_fit_is_an_error_that_says_so(journal: Journal) -> None:
    full = fill(journal)
    assert full.errno == errno.ENOSPC and full.strerror == "No space left on device"


async def test_what_was_written_before_stays_and_nothing_half_written_hides_it(journal: Journal) -> None:
    fill(journal)
    found = read(journal.path)
    assert found.torn == b"" and found.records == tuple(journal.records)
    await journal.sync()


def test_it_goes_on_being_full_and_says_so_each_time(journal: Journal) -> None:
    fill(journal)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            journal.append(Kind.INTENT, BODY)
    assert read(journal.path).records == tuple(journal.records)


def test_closing_it_is_no_error(journal: Journal) -> None:
    fill(journal)
    journal.close()
