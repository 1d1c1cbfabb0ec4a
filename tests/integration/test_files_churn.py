"""A slice of the proof of file sets: random changes and faults over each file system and engine, by a fixed seed.

``make churn`` plays thousands of operations of the same kind (docs/explanation/churn.md).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from churn.faults import Fault, Kind, draw, edges

ROOT = Path(__file__).parents[2]
OPERATIONS = {
    "ext4:rsync": 100,
    "btrfs:rsync": 100,
    "overlay:rsync": 100,
    "zfs:rsync": 40,
    "zfs:zfs": 40,
}  # zfs-fuse is slow


@pytest.mark.parametrize(("where", "operations"), OPERATIONS.items(), ids=OPERATIONS)
def test_both_trees_are_identical_after_churn_and_faults(where: str, operations: int, tmp_path: Path) -> None:
    needed = [
        *(ROOT / ".tools/unpacked").glob("usr/lib/*/faketime"),
        *(ROOT / ".tools/unpacked").glob("**/sbin/zfs-fuse"),
    ]
    if os.geteuid() != 0 or len(needed) < 2 or shutil.which("unshare") is None:
        if os.environ.get("CI"):
            pytest.fail("needs root, unshare and what scripts/setup.sh tests unpacks")
        pytest.skip("needs root, unshare and what scripts/setup.sh tests unpacks")
    argv = [sys.executable, "-m", "churn", "--operations", str(operations), "--seed", "4", "--only", where]
    argv += ["--build", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HELD" in done.stdout


def test_the_same_seed_draws_the_same_faults_and_each_kind_is_among_them() -> None:
    assert draw(7, 1000) == draw(7, 1000) != draw(8, 1000)
    assert {one.kind for one in draw(7, 1000)} == set(Kind) == {one.kind for one in draw(7, 1)}


def test_what_begins_and_lasts_also_ends() -> None:
    open_now: set[Fault] = set()
    for _, fault, begins in edges(draw(7, 3000)):
        (open_now.add if begins and fault.lasts else open_now.discard)(fault)
    assert not open_now
