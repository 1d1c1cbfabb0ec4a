"""Which snapshots are versions of a set, and how they are addressed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.errors import FinalError
from secondsite.files import store as records
from secondsite.files.store import PULLED, Record
from secondsite.files.versions import keep
from secondsite.files.versions.place import ID
from secondsite.files.zfs import names
from secondsite.files.zfs.model import Dataset, Snapshot, Tree
from secondsite.files.zfs.versions import complete, number_of
from secondsite.spec import FileSet


def taken(*moments: int) -> tuple[Snapshot, ...]:
    return tuple(Snapshot(f"s{at}", guid=at, txg=at, created=at) for at in moments)


def found(*datasets: Dataset) -> list[tuple[str, list[str]]]:
    return [(top.name, sorted(paths)) for top, paths in complete(Tree("tank/up", datasets))]


def test_a_snapshot_of_every_dataset_that_was_there_is_a_version() -> None:
    root, kid = Dataset("", 1, taken(1, 2, 3)), Dataset("kid", 2, taken(2, 3))
    assert found(root, kid) == [("s1", [""]), ("s2", ["", "kid"]), ("s3", ["", "kid"])]


def test_one_that_is_half_received_or_of_a_part_alone_is_none() -> None:
    root, kid = Dataset("", 1, taken(1, 2, 3, 4)), Dataset("kid", 2, taken(1, 3))
    assert found(root, kid) == [("s1", ["", "kid"]), ("s3", ["", "kid"])]


def test_a_dataset_that_is_gone_at_the_source_is_in_those_of_its_time_and_spoils_no_later_one() -> None:
    root, kid = Dataset("", 1, taken(1, 2, 3)), Dataset("kid", 2, taken(1, 2), gone=True)
    assert found(root, kid) == [("s1", ["", "kid"]), ("s2", ["", "kid"]), ("s3", [""])]
    assert found(root, replace(kid, snapshots=taken(1, 3))) == [("s1", ["", "kid"]), ("s3", ["", "kid"])]


def test_each_has_an_id_like_any_version_the_same_at_both_sites() -> None:
    ours = Snapshot(names.snapshot(1_800_000_000, "0123abcd"), guid=7, txg=1, created=1_800_000_005)
    assert number_of(ours) == "20270115T080000Z-0123abcd"
    theirs = Snapshot("hourly.0", guid=0xABCDEF0123456789, txg=1, created=1_800_000_000)
    assert number_of(theirs) == "20270115T080000Z-23456789" == number_of(replace(theirs, txg=99))
    assert all(ID.fullmatch(number_of(each)) for each in (ours, theirs))


def test_a_clone_to_look_into_is_none_of_the_set_s_own() -> None:
    clone = names.look("tank/up", names.stamp(1_800_000_000, "0123abcd"))
    assert names.is_look(clone) and names.beside(clone) and names.beside(f"{clone}/kid")
    assert not names.is_look(f"{clone}/kid") and not names.is_look("tank/up") and not names.beside("tank/up")


async def test_where_versions_have_no_place_readiness_can_say_where_they_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> dict[str, Any]:
        raise FinalError("/srv/up is a mount point", slug="versions-no-place", hint="let it be /srv/up/data")

    monkeypatch.setattr(keep, "work", refused)
    records.save("up", Record(role=PULLED, outcome="complete"), tmp_path)
    fileset = FileSet.model_validate({"name": "up", "path": "/srv/up", "versions": "24h hourly"})
    looked = await keep.keep_versions(fileset, tmp_path, 1_800_000_000.0)
    assert looked is not None and looked.problem == "/srv/up is a mount point; let it be /srv/up/data"
