"""Before a rewind the whole old cluster is kept, where the file system can do that without time and space."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondsite.clock import SystemClock
from secondsite.database.whole import keep_whole
from tests.integration.database_clusters import ThrowawayCluster
from tests.integration.file_systems import HAS_BTRFS, file_system

SHARE_BLOCKS = {"ext4": False, **({"btrfs": True} if HAS_BTRFS else {})}


@pytest.mark.parametrize("kind", SHARE_BLOCKS)
async def test_a_copy_that_shares_its_blocks_is_made_and_nothing_is_left_where_that_cannot_be(
    tmp_path: Path, kind: str
) -> None:
    with file_system(tmp_path, kind) as place:
        cluster = ThrowawayCluster("15", "main", 5432, base=place)
        relation = cluster.data / "base" / "1" / "2600"
        relation.parent.mkdir(parents=True)
        relation.write_bytes(b"as it was" * 200_000)
        kept = await keep_whole(cluster.data, SystemClock())
        assert (kept is not None) is SHARE_BLOCKS[kind]
        assert sorted(cluster.data.parent.iterdir()) == sorted(
            [cluster.data, *([kept.folder] if kept and kept.folder else [])]
        )
        relation.write_bytes(b"rewound")
        if kept is not None:
            assert kept.folder is not None and kept.missing == ()
            assert (kept.folder / relation.relative_to(cluster.data)).read_bytes() == b"as it was" * 200_000


@pytest.mark.skipif(not HAS_BTRFS, reason="only a file system that can share blocks keeps anything")
async def test_wal_and_tablespaces_that_lie_elsewhere_are_kept_too_or_said_to_be_missing(tmp_path: Path) -> None:
    with file_system(tmp_path, "btrfs") as place:
        cluster = ThrowawayCluster("15", "main", 5432, base=place)
        wal, space, other = place / "wal", place / "space", tmp_path / "other"
        for folder in (cluster.data / "pg_tblspc", wal, space, other):
            folder.mkdir(parents=True)
            (folder / "one").write_bytes(b"as it was" * 20_000)
        (cluster.data / "pg_wal").symlink_to(wal)
        (cluster.data / "pg_tblspc" / "16500").symlink_to(space)
        (cluster.data / "pg_tblspc" / "16501").symlink_to(other)  # on another file system
        kept = await keep_whole(cluster.data, SystemClock())
        assert kept is not None and kept.folder is not None and kept.missing == (other,)
        for folder in (wal, space):
            (folder / "one").write_bytes(b"rewound")
        for name in ("pg_wal", "pg_tblspc/16500"):
            assert not (kept.folder / name).is_symlink()
            assert (kept.folder / name / "one").read_bytes() == b"as it was" * 20_000
        assert not (kept.folder / "pg_tblspc" / "16501").is_symlink(), "nothing leads into the cluster that lives on"
