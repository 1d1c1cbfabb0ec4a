"""The two guests, up for as long as the tests run, with new pools for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite_lab.guests.pair import Guests, guests
from tests.openzfs.site import PATH, Site


@pytest.fixture(scope="session")
def machines() -> Iterator[Guests]:
    with guests(lambda text: print(text, flush=True), [Path(__file__).with_name("program.py")]) as both:
        yield both


@pytest.fixture
def oslo(machines: Guests) -> Iterator[Site]:
    """The source. Its dataset is the test's affair."""
    site = Site(machines.oslo)
    site.new_pool()
    yield site
    site.stop()


@pytest.fixture
def bergen(machines: Guests) -> Iterator[Site]:
    """The standby, with an empty dataset where the copy goes."""
    site = Site(machines.bergen)
    if not site.guest.running:
        site.power_on()
    site.new_pool()
    site.zfs(f"create -o mountpoint={PATH} {site.root}")
    yield site
    site.stop()
