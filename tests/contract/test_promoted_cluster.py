"""What a cluster that may have been promoted owes whoever takes a procedure up: PostgreSQL, and the fake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secondsite.clock import SystemClock
from secondsite.database import fence
from secondsite.database.cluster import Cluster
from secondsite.recovery import admit, history, promoted
from secondsite.recovery.journal import Journal, Kind
from secondsite.spec import paths
from tests.fakes.promoted import FakeDatabase
from tests.integration.agent_pair import Clusters, clusters


@dataclass
class Sites:
    """A primary and its standby, and how the guard's mark comes to the standby."""

    primary: Cluster
    standby: Cluster
    fake: FakeDatabase | None = None

    def at(self, cluster: Cluster) -> Cluster:
        """Asked about this one from now on."""
        if self.fake is not None:
            self.fake.recovering, self.fake.timeline = cluster is self.standby, 1
        return cluster

    def hold_read_only(self) -> None:
        """As the guard does it."""
        if self.fake is not None:
            self.fake.marked = True
            return
        (self.standby.data / "standby.signal").unlink()  # a base backup's own is never taken for ours
        fence.mark_standby(self.standby, "the guard holds it")


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


@pytest.fixture(params=["real", "fake"])
def sites(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sites]:
    if request.param == "fake":
        yield Sites(Cluster("15", "oslo"), Cluster("15", "bergen"), FakeDatabase(monkeypatch))
        return
    monkeypatch.setattr(paths, "FENCED", tmp_path / "fenced")
    pair: Clusters = request.getfixturevalue("both")
    yield Sites(pair.oslo, pair.bergen)
    (pair.bergen.data / "standby.signal").write_text("")


@pytest.fixture
def proven(tmp_path: Path) -> history.Entry:
    """A journal which proves a promotion."""
    journal = Journal.create(tmp_path / "journal", "20261122T031200Z-failover-1a2b", SystemClock())
    journal.append(Kind.OPENED, {"procedure": "failover"})
    done = {"step": "promote", "result": "done", "seconds": 1.0, "details": {"timeline": 1}}
    journal.append(Kind.RESULT, done)
    journal.close()
    (entry,) = history.entries(tmp_path / "journal")
    return entry


def test_a_standby_denies_a_promotion_and_a_primary_does_not(sites: Sites, proven: history.Entry) -> None:
    assert promoted.denied(proven, sites.at(sites.standby))
    assert not promoted.denied(proven, sites.at(sites.primary))


async def test_the_generation_is_the_timeline_on_both(sites: Sites) -> None:
    for cluster in (sites.primary, sites.standby):
        assert await admit.generation(sites.at(cluster)) == 1


async def test_the_guard_holds_only_what_it_has_marked_and_only_in_that_timeline(sites: Sites) -> None:
    cluster = sites.at(sites.standby)
    assert not await promoted.held_by_guard(cluster, 1)
    sites.hold_read_only()
    assert await promoted.held_by_guard(cluster, 1)
    assert not await promoted.held_by_guard(cluster, 2)
