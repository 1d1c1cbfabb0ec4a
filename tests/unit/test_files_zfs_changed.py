"""When the files of a copy by ZFS are counted, and which snapshots stay for it: pure parts."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from secondsite.files import store
from secondsite.files.store import Record
from secondsite.files.zfs import retain
from secondsite.files.zfs.changed import FEW_SECONDS, RECORD_BYTES, RESTS, bases, due, heads
from secondsite.files.zfs.model import Dataset, Snapshot, Tree

NOW = 1_800_000_000.0
MOST = 5_000  # half of what there is
COUNTED = Record(entries=10_000, counted=(("", 1),), counted_at=NOW - 100, count_seconds=1.0)


def asked(record: Record = COUNTED, size: int = 0, *, sure: bool = True, share: float = 0.5) -> bool:
    return due(record, uncounted=size, sure=sure, now=NOW, max_change=share)


def test_it_is_counted_where_the_bytes_could_be_of_as_many_files_as_are_allowed() -> None:
    assert not asked(size=RECORD_BYTES * MOST - 1)
    assert asked(size=RECORD_BYTES * MOST)
    small = Record(entries=20, counted=(("", 1),))
    assert not asked(small, RECORD_BYTES * 99) and asked(small, RECORD_BYTES * 100)


def test_what_has_changed_within_the_hour_lowers_what_may_go_uncounted() -> None:
    minute = int(NOW // 60)
    busy = Record(**{**asdict(COUNTED), "window": ((minute - 5, 1_000, 3_000, 0), (minute - 90, 0, 9_000, 0))})
    assert not asked(busy, RECORD_BYTES * 1_000 - 1) and asked(busy, RECORD_BYTES * 1_000)
    full = Record(**{**asdict(COUNTED), "window": ((minute - 5, 0, MOST, 0),)})
    assert asked(full, 1) and not asked(full, 0)


def test_what_nobody_has_noted_is_counted_and_nothing_where_everything_may_change() -> None:
    assert asked(sure=False)
    assert not asked(size=10**12, sure=False, share=1.0)


@pytest.mark.parametrize(("ago", "counts"), [(RESTS - 1, False), (RESTS, True), (-3600, True)])
def test_it_rests_for_many_times_as_long_as_it_took_and_a_clock_that_was_set_back_holds_up_nothing(
    ago: float, counts: bool
) -> None:
    rested = Record(**{**asdict(COUNTED), "counted_at": NOW - ago})
    assert asked(rested, 10**12) is counts


def test_a_copy_without_files_enough_for_an_alarm_is_counted_now_and_then_and_not_each_round() -> None:
    few = Record(entries=100, counted=(("", 1),), counted_at=NOW - FEW_SECONDS + 1, count_seconds=0.1)
    assert not asked(few, 10**12)
    assert asked(replace(few, counted_at=NOW - FEW_SECONDS), 10**12)
    assert asked(replace(few, entries=101), 10**12), "with so many it could be one"
    assert asked(replace(few, entries=None), 10**12), "nobody knows how many"
    assert asked(replace(few, window=((int(NOW // 60), 1, 0, 0),)), 10**12), "one of them has changed already"


def test_the_base_is_the_snapshot_that_was_counted_and_stays_whatever_the_rules_say() -> None:
    taken = tuple(Snapshot(f"secondsite-{number}", number, number) for number in range(1, 6))
    tree = Tree(
        "tank/up", (Dataset("", 10, taken), Dataset("kid", 11, taken[:2]), Dataset("old", 12, taken, gone=True))
    )
    assert heads(tree) == (("", 5), ("kid", 2)) and heads(None) == ()
    found = bases(tree, (("", 2), ("kid", 9), ("old", 1)))
    assert {path: one.guid for path, one in found.items()} == {"": 2}


def test_a_snapshot_that_is_to_stay_is_not_removed() -> None:
    name = "secondsite-20261123T000000Z-00000{}"
    taken = tuple(Snapshot(name.format(f"{number:03}"), number, number) for number in range(1, 6))
    gone = retain.removable(Dataset("", 10, taken), (), now=NOW, bases={5})
    kept = retain.removable(Dataset("", 10, taken), (), now=NOW, bases={5}, keep={2})
    assert [each.guid for each in gone] == [1, 2, 3, 4]
    assert [each.guid for each in kept] == [1, 3, 4]


def test_the_record_keeps_what_was_counted(tmp_path: Path) -> None:
    record = Record(counted=(("", 2**63 + 1), ("kid", 3)), reached=(("", 4),), uncounted=5)
    store.save("up", record, tmp_path)
    assert store.load("up", tmp_path) == record
    body = {key: value for key, value in asdict(record).items() if key not in ("counted", "reached", "uncounted")}
    (tmp_path / "up.json").write_text(json.dumps(body))
    assert store.load("up", tmp_path).counted == ()
