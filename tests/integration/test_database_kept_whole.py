"""Before a rewind the whole old cluster is kept, where the file system can do that without time and space."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondsite.clock import SystemClock
from secondsite.database.node import Node
from secondsite.database.rewind import keep_whole
from tests.integration.database_clusters import PgCtl, ThrowawayCluster
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
        node = Node(cluster, PgCtl(cluster), state=tmp_path)
        kept = await keep_whole(node, SystemClock())
        assert (kept is not None) is SHARE_BLOCKS[kind]
        assert sorted(cluster.data.parent.iterdir()) == sorted(one for one in (cluster.data, kept) if one is not None)
        relation.write_bytes(b"rewound")
        if kept is not None:
            assert (kept / relation.relative_to(cluster.data)).read_bytes() == b"as it was" * 200_000
