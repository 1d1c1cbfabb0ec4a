"""A promotion needs room for a WAL segment of its own: where there is none, the failover says so before it fences."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite.database.observe import observe
from secondsite.database.promote import promote, room
from secondsite.database.state import Role
from secondsite.errors import SecondsiteError
from tests.integration.database_clusters import Pair, pair


@pytest.fixture
def hosts() -> Iterator[Pair]:
    """Bergen's cluster is on a small disk of its own."""
    with pair() as both:
        bergen = both.nodes["bergen"]
        base = getattr(bergen.cluster, "base")  # noqa: B009 - a throwaway cluster has one, Cluster has none
        place = Path(base) / "data"
        place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3G,mode=755", "tmpfs", str(place)], check=True)
        try:
            subprocess.run(["chown", "postgres:", str(place)], check=True)
            yield both
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def resize(place: Path, size: int) -> None:
    """The disk that holds ``place``, in bytes."""
    where = subprocess.run(
        ["findmnt", "--noheadings", "--output", "TARGET", "--target", str(place)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert where.endswith("/data"), where
    subprocess.run(["mount", "-o", f"remount,size={size}", where], check=True)


async def test_where_no_wal_segment_has_room_a_promotion_fails_and_that_is_known_before(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    cluster = hosts.nodes["bergen"].cluster
    before = room(cluster)
    assert before.enough and before.needed_bytes == 2**24
    used = shutil.disk_usage(before.place).used
    resize(before.place, used + 2**23)
    full = room(cluster)
    assert not full.enough and full.free_bytes <= 2**23
    with pytest.raises(SecondsiteError):  # or the failover would refuse what can be done
        await promote(cluster, timeout_seconds=10)
    assert observe(cluster).role is not Role.PRIMARY
    resize(before.place, used + 2**27)
    assert room(cluster).enough
