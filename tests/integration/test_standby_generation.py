"""Which generation a standby says it has, against real clusters: right behind a handover, with nobody to hear from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from secondsite.database.controldata import read as read_control
from secondsite.database.observe import observe
from tests.integration.agent_pair import Clusters, clusters, until


@pytest.fixture
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


async def test_an_old_primary_that_has_just_followed_knows_its_generation_without_a_receiver(both: Clusters) -> None:
    oslo, bergen = both.oslo, both.bergen
    oslo.control("stop", "-m", "fast")
    bergen.control("promote")
    (oslo.data / "standby.signal").touch()
    with (oslo.data / "postgresql.conf").open("a") as file:
        file.write(f"primary_conninfo = 'host={bergen.socket_directory} port={bergen.port} user=postgres'\n")
    oslo.start()
    await until(lambda: oslo.sql("SELECT received_tli FROM pg_stat_wal_receiver") == (2,))
    assert observe(oslo).timeline == 2
    assert (await read_control(oslo)).timeline == 1, "or this shows nothing: no restartpoint was made yet"
    bergen.control("stop", "-m", "immediate")
    await until(lambda: oslo.sql("SELECT count(*) FROM pg_stat_wal_receiver") == (0,))
    assert observe(oslo).timeline == 2
