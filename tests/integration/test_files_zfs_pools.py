"""Pools that are broken for real, and what is seen of it (readiness: zfs-pool, zfs-space)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite.files.zfs import pools
from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.checks.zfs import FULL, NEARLY_FULL
from secondsite.spec import FileSet
from secondsite_lab.testing import running_lab
from tests.integration.zfs_sites import Machine, machine

pytestmark = pytest.mark.lab
UPLOADS = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})


@pytest.fixture(scope="module")
def zfs_host() -> Iterator[Machine]:
    with running_lab(f"zpools-{os.getpid()}") as lab, machine(lab) as ready:
        yield ready


@pytest.fixture
def mirrored(zfs_host: Machine) -> Iterator[Machine]:
    """A pool on two disks, with a set's dataset."""
    files = "/root/one.img /root/two.img"
    zfs_host.sh(f"truncate -s 80M {files} && zpool create disks mirror {files}")
    zfs_host.sh("zfs create -o mountpoint=/srv/uploads disks/uploads")
    yield zfs_host
    zfs_host.sh("zpool import -d /root disks", check=False)
    zfs_host.sh(f"for n in $(seq 50); do zpool destroy -f disks && break; sleep 0.1; done; rm -f {files}", check=False)


async def seen(machine: Machine, store: Path) -> PoolState:
    (found,) = await pools.look([UPLOADS], store, machine.host)
    return found


async def test_a_disk_that_is_lost_and_one_that_comes_back(mirrored: Machine, tmp_path: Path) -> None:
    assert (await seen(mirrored, tmp_path)).health == "ONLINE"
    mirrored.sh("zpool offline disks /root/one.img")
    assert (await seen(mirrored, tmp_path)).health == "DEGRADED"
    mirrored.sh("zpool online disks /root/one.img")
    assert (await seen(mirrored, tmp_path)).health == "ONLINE"


async def test_a_pool_that_fills_up_until_nothing_can_be_written(mirrored: Machine, tmp_path: Path) -> None:
    empty = await seen(mirrored, tmp_path)
    assert empty.used is not None and empty.used < 5
    mirrored.sh("head -c 37M /dev/urandom >/srv/uploads/most && sync")
    filling = await seen(mirrored, tmp_path)
    assert filling.used is not None and NEARLY_FULL <= filling.used < FULL
    failed = mirrored.sh("head -c 40M /dev/urandom >/srv/uploads/rest 2>&1 && echo written; sync", check=False)
    assert "written" not in failed
    full = await seen(mirrored, tmp_path)
    assert full.used is not None and full.used >= FULL


async def test_a_pool_that_is_not_imported_is_missing_where_a_pull_has_noted_its_dataset(
    mirrored: Machine, tmp_path: Path
) -> None:
    (tmp_path / "uploads.json").write_text('{"engine": "zfs", "dataset": "disks/uploads"}')
    mirrored.sh("zpool export disks")
    assert await seen(mirrored, tmp_path) == PoolState("disks", "MISSING", None, ("uploads",))


async def test_a_set_that_is_no_dataset_has_no_pool(mirrored: Machine, tmp_path: Path) -> None:
    elsewhere = UPLOADS.model_copy(update={"path": Path("/srv/plain")})
    assert await pools.look([elsewhere], tmp_path, mirrored.host) == ()
