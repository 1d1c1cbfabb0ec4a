"""Before a rewind a cluster on ZFS is kept as a snapshot: run by the product's own code on a host with zfs-fuse."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import secondsite
from secondsite.database import whole
from secondsite_lab.testing import running_lab
from tests.integration.zfs_sites import machine

pytestmark = pytest.mark.lab

SOURCE = Path(secondsite.__file__).parent
NEEDED = ("__init__.py", "clock.py", "errors.py", "process.py", "database/__init__.py", "database/whole.py")
KEEP = (
    "cd /root/product && python3 -c 'import asyncio, sys; from pathlib import Path;"
    " from secondsite.clock import SystemClock; from secondsite.database.whole import keep_whole;"
    " kept = asyncio.run(keep_whole(Path(sys.argv[1]), SystemClock()));"
    " print(kept); print(*kept.missing if kept else ())' {}"
)
MADE = """
truncate -s 128M /root/db.img && zpool create db /root/db.img
zfs create -o mountpoint=/srv/db db/main && zfs create -o mountpoint=/srv/wal db/wal
mkdir -p /srv/db/data/pg_tblspc /srv/wal/files /root/space
ln -s /srv/wal/files /srv/db/data/pg_wal && ln -s /root/space /srv/db/data/pg_tblspc/16500
echo before > /srv/db/data/relation
"""


def test_a_cluster_on_zfs_is_kept_as_a_snapshot_of_each_dataset_it_lies_in() -> None:
    with running_lab(f"dbzfs-{os.getpid()}") as lab, machine(lab) as host:
        for name in NEEDED:
            place = host.host.root / "root/product/secondsite" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, place)
        host.sh(MADE)
        told, missing = host.sh(KEEP.format("/srv/db/data")).splitlines()
        assert missing == "/root/space"
        main, wal = told.split(" and ")
        assert main.startswith(f"db/main@{whole.SNAPSHOT}") and wal.startswith(f"db/wal@{whole.SNAPSHOT}")
        host.sh("echo rewound > /srv/db/data/relation")
        host.sh(f"zfs send {main} | zfs receive look/kept")
        assert host.sh("cat /look/kept/data/relation") == "before"
        assert (
            host.sh("mkdir /dev/shm/data; echo 1 > /dev/shm/data/relation;" + KEEP.format("/dev/shm/data")) == "None"
        ), "neither ZFS nor reflinks"
        host.sh("for n in $(seq 50); do zpool destroy -f db && exit; sleep 0.1; done; exit 1")


def test_a_file_system_that_is_mounted_within_a_dataset_is_not_taken_for_it(tmp_path: Path) -> None:
    listing = [f"tank\t{tmp_path}\tyes", "tank/off\t/nowhere\tno", "tank/old\tlegacy\tyes", f"tank/x\t{tmp_path}/x\tno"]
    assert whole.dataset_of(listing, tmp_path) == "tank"
    assert whole.dataset_of(listing, Path("/proc")) is None
    assert whole.dataset_of(["root\t/\tyes"], Path("/proc")) is None, "proc is another file system"
    assert whole.dataset_of([], tmp_path) is None
