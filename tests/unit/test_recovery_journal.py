"""The journal: what is proven stays, what is torn or altered does not count."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondsite.clock import SystemClock
from secondsite.recovery.engine import position
from secondsite.recovery.journal import GENESIS, Journal, Kind, read

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def written(folder: Path, steps: int) -> Path:
    journal = Journal.create(folder, f"j{steps}", SystemClock())
    journal.append(Kind.OPENED, {"procedure": "failover", "arguments": {}, "steps": []})
    for number in range(steps):
        journal.append(Kind.INTENT, {"step": f"s{number}", "site": "bergen"})
        await journal.sync()
        journal.append(Kind.RESULT, {"step": f"s{number}", "result": "done", "details": {}, "seconds": 0.1})
    journal.close()
    return journal.path


async def test_every_record_names_the_one_before_it(tmp_path: Path) -> None:
    records = read(await written(tmp_path, 3)).records
    assert [record.prev for record in records] == [GENESIS, *(record.hash for record in records[:-1])]


async def test_a_journal_cut_at_any_byte_keeps_a_proven_beginning_and_can_be_taken_up(tmp_path: Path) -> None:
    path = await written(tmp_path, 3)
    raw, whole = path.read_bytes(), read(path).records
    for cut in range(0, len(raw), 7):
        path.write_bytes(raw[:cut])
        found = read(path)
        assert found.records == whole[: len(found.records)]
        again = Journal.reopen(path, SystemClock())
        again.append(Kind.RESUMED, {})
        again.close()
        taken_up = read(path)
        assert taken_up.torn == b""
        assert len(taken_up.records) == len(found.records) + 1


@quick
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
async def test_a_changed_byte_ends_what_counts_as_proven(tmp_path: Path, place: int, flip: int) -> None:
    path = await written(tmp_path, 3)
    raw, whole = bytearray(path.read_bytes()), read(path).records
    path.unlink()
    raw[place % len(raw)] ^= flip
    path.write_bytes(bytes(raw))
    found = read(path)
    assert len(found.records) < len(whole)
    assert found.records == whole[: len(found.records)]
    path.unlink()


async def test_a_torn_tail_is_kept_beside_the_journal_not_thrown_away(tmp_path: Path) -> None:
    path = await written(tmp_path, 1)
    with path.open("ab") as file:
        file.write(b'{"seq": 3, "at": "20')
    Journal.reopen(path, SystemClock()).close()
    (kept,) = tmp_path.glob("*.torn-*")
    assert kept.read_bytes() == b'{"seq": 3, "at": "20'


async def test_an_intent_without_result_is_known_to_have_begun(tmp_path: Path) -> None:
    path = await written(tmp_path, 2)
    journal = Journal.reopen(path, SystemClock())
    journal.append(Kind.INTENT, {"step": "promote", "site": "bergen"})
    journal.close()
    where = position(read(path).records)
    assert set(where.completed) == {"s0", "s1"}
    assert where.begun == {"promote"}
    assert where.outcome is None
