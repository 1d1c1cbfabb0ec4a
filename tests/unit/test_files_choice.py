"""The engine of a set that was pulled before, as whoever compares it needs it."""

from __future__ import annotations

from pathlib import Path

from secondsite.files import store as records
from secondsite.files.choice import current
from secondsite.files.engine import Rsync
from secondsite.files.zfs.engine import Zfs
from secondsite.spec import FileSet, Tunnel
from tests.integration.database_clusters import specification

SET = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads"})


def test_a_set_by_zfs_is_asked_for_at_the_port_that_the_file_names(tmp_path: Path) -> None:
    records.save("uploads", records.Record(engine="zfs", dataset="pool/up"), tmp_path)
    tunnel = Tunnel.model_validate({"network": "10.10.0.0/24", "watch_port": 7999})
    spec = specification(1).model_copy(update={"tunnel": tunnel})
    engine = current(spec, SET, "10.10.0.1", store=tmp_path)
    assert isinstance(engine, Zfs)
    door = engine._at("10.10.0.1")
    assert (door.address, door.port) == ("10.10.0.1", 7999)


def test_every_other_set_is_compared_by_rsync(tmp_path: Path) -> None:
    assert isinstance(current(specification(1), SET, "10.10.0.1", store=tmp_path), Rsync)
