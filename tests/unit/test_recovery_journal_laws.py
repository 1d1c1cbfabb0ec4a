"""Whatever happens to a journal's bytes: what is read was written, in its order, and writing goes on behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondsite.clock import SystemClock
from secondsite.recovery.engine import position
from secondsite.recovery.journal import Journal, Kind, Record, read
from tests.fakes.disk import in_memory

CLOCK = SystemClock()
few, some, many = (settings(max_examples=count) for count in (12, 40, 120))

_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
Written = list[tuple[Kind, Mapping[str, Any]]]
_steps = st.sampled_from(["assess", "fence", "promote", "dns"])


def _bodies(kind: Kind) -> st.SearchStrategy[Mapping[str, Any]]:
    """What the engine writes into a record of this kind, with anything in its details."""
    details = st.dictionaries(st.text(max_size=5), _values, max_size=2)
    match kind:
        case Kind.RESULT:
            results = st.sampled_from(["done", "already", "failed", "gone", "undo-failed"])
            return st.fixed_dictionaries(
                {"step": _steps, "result": results, "details": details, "seconds": st.floats(0, 1e4)}
            )
        case Kind.INTENT | Kind.UNDONE:
            return st.fixed_dictionaries({"step": _steps})
        case Kind.CLOSED:
            outcomes = st.sampled_from(["completed", "rolled_back", "failed", "blocked"])
            return st.fixed_dictionaries({"outcome": outcomes}, optional={"rpo": details})
        case _:
            return details


def written(least: int = 1, most: int = 5) -> st.SearchStrategy[Written]:
    """Records as procedures write them, and more."""
    one = st.sampled_from(Kind).flatmap(lambda kind: st.tuples(st.just(kind), _bodies(kind)))
    return st.lists(one, min_size=least, max_size=most)


def fresh(folder: Path, entries: Written) -> tuple[Path, tuple[Record, ...]]:
    journal = Journal.create(folder, "j", CLOCK)
    made = tuple(journal.append(kind, body) for kind, body in entries)
    journal.close()
    return journal.path, made


def holds(path: Path, raw: bytes, whole: Sequence[Record], least: int = 0) -> int:
    """The law: a beginning of what was written, the rest told to the byte, and a whole journal after going on."""
    path.write_bytes(raw)
    found = read(path)
    count = len(found.records)
    assert found.records == tuple(whole[:count])
    assert count >= least, "what was not damaged still counts"
    assert b"".join(record.line() for record in found.records) + found.torn == raw
    return count


def goes_on(path: Path, raw: bytes) -> None:
    """Taken up: what could not be proven is kept, a record more is read back, and nothing is damaged any more."""
    path.write_bytes(raw)
    before, kept = read(path), set(path.parent.glob("*.torn*"))
    again = Journal.reopen(path, CLOCK)
    added = again.append(Kind.RESUMED, {"by": "a person"})
    again.close()
    after = read(path)
    assert after.records == (*before.records, added) and after.torn == b""
    fresh_tails = [one.read_bytes() for one in set(path.parent.glob("*.torn*")) - kept]
    assert fresh_tails == ([before.torn] if before.torn else [])


@few
@given(written())
def test_a_journal_cut_at_any_byte_keeps_every_record_that_was_complete(entries: Written) -> None:
    with in_memory() as folder:
        path, whole = fresh(folder, entries)
        raw, ends = path.read_bytes(), 0
        for cut in range(len(raw) + 1):
            complete = raw[:cut].count(b"\n")
            assert holds(path, raw[:cut], whole) == complete
            ends += complete
        assert ends > 0


@few
@given(written(), st.data())
def test_no_changed_bit_alters_or_invents_a_record(entries: Written, data: st.DataObject) -> None:
    with in_memory() as folder:
        path, whole = fresh(folder, entries)
        raw = path.read_bytes()
        last = len(raw) - len(whole[-1].line())
        anywhere = data.draw(st.lists(st.integers(0, len(raw) * 8 - 1), max_size=30))
        for bit in [*anywhere, *(place * 8 + place % 8 for place in range(last, len(raw)))]:
            changed = bytearray(raw)
            changed[bit // 8] ^= 1 << bit % 8
            untouched = raw[: bit // 8].count(b"\n")
            assert holds(path, bytes(changed), whole, least=untouched) == untouched


@some
@given(written(), st.data())
def test_two_damages_at_once_leave_no_more_than_one_would(entries: Written, data: st.DataObject) -> None:
    with in_memory() as folder:
        path, whole = fresh(folder, entries)
        raw = path.read_bytes()
        place = st.integers(0, len(raw) - 1)
        bit, begin, length = data.draw(st.tuples(place, place, st.integers(1, 200)))
        changed = bytearray(raw)
        changed[bit] ^= 1 << data.draw(st.integers(0, 7))
        how = data.draw(st.sampled_from(["cut out", "doubled", "zeroed", "cut off"]))
        piece = bytes(changed[begin : begin + length])
        filled = {"cut out": b"", "doubled": piece * 2, "zeroed": bytes(len(piece)), "cut off": b""}[how]
        end = len(changed) if how == "cut off" else begin + length
        damaged = bytes(changed[:begin]) + filled + bytes(changed[end:])
        holds(path, damaged, whole, least=raw[: min(bit, begin)].count(b"\n"))
        goes_on(path, damaged)


TAILS = st.one_of(
    st.integers(1, 5000).map(bytes),  # a file system that had given the room and not yet the content
    st.binary(min_size=1, max_size=200),
    st.binary(min_size=1, max_size=60).map(lambda noise: noise + b"\n"),
    st.integers(1, 300).map(lambda deep: b"[" * deep * 1000 + b"\n"),
    _values.map(lambda value: json.dumps(value).encode() + b"\n"),
)


@some
@given(written(least=0), TAILS)
def test_what_a_power_cut_leaves_behind_the_last_record_is_no_record(entries: Written, tail: bytes) -> None:
    with in_memory() as folder:
        path, whole = fresh(folder, entries)
        raw = path.read_bytes() + tail
        assert holds(path, raw, whole, least=len(whole)) == len(whole)
        goes_on(path, raw)


@some
@given(written(least=2), st.data())
def test_records_of_the_journal_itself_at_another_place_are_no_records(entries: Written, data: st.DataObject) -> None:
    """Written twice, left out, in another order: each line is proven, and the chain is not."""
    with in_memory() as folder:
        path, whole = fresh(folder, entries)
        moved = data.draw(st.lists(st.sampled_from(whole), min_size=1, max_size=6))
        raw = b"".join(record.line() for record in moved)
        same = next((i for i, one in enumerate(moved) if i >= len(whole) or one != whole[i]), len(moved))
        assert holds(path, raw, whole) == same


@some
@given(written(), st.data())
def test_every_torn_tail_is_kept_however_often_the_power_goes(entries: Written, data: st.DataObject) -> None:
    with in_memory() as folder:
        path, _ = fresh(folder, entries)
        for tail in data.draw(st.lists(st.binary(min_size=1, max_size=9), min_size=2, max_size=4)):
            raw = path.read_bytes()
            goes_on(path, raw + tail)
            path.write_bytes(raw)  # what was written since was not on the disk when the power went again


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff\xfe", b"null", b'"\\ud800"']
)
def test_garbage_that_a_reader_of_json_chokes_on_is_a_torn_tail(tmp_path: Path, line: bytes) -> None:
    path, whole = fresh(tmp_path, [(Kind.OPENED, {"procedure": "failover"})])
    assert holds(path, path.read_bytes() + line + b"\n", whole, least=1) == 1


@many
@given(written(least=0, most=12))
def test_where_a_journal_stands_follows_its_records(entries: Written) -> None:
    with in_memory() as folder:
        records = fresh(folder, entries)[1]
    whole = position(records)
    intents = {record.body["step"] for record in records if record.kind is Kind.INTENT}
    results = {record.body["step"] for record in records if record.kind is Kind.RESULT}
    assert whole.begun <= whole.touched <= intents, "what is under way was begun, and nothing is that was not"
    assert set(whole.completed) <= results
    undone = records and records[-1].kind is Kind.UNDONE
    if undone:
        step = records[-1].body["step"]
        assert step not in whole.touched | whole.begun | set(whole.completed)
    for count in range(len(records)):
        part, rest = position(records[:count]), records[count:]
        later = {record.body["step"] for record in rest if record.kind in (Kind.RESULT, Kind.UNDONE)}
        assert set(part.completed) - later <= set(whole.completed), "only a later record takes back what was done"
        assert part.touched - later <= whole.touched
        assert whole.superseded or not part.superseded, "what was given up stays given up"
        if not any(record.kind in (Kind.CLOSED, Kind.RESUMED) for record in rest):
            assert part.outcome is whole.outcome
