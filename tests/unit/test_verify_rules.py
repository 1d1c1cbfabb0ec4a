"""What a verification concludes, decides and remembers: pure parts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.cli.schemas import conforms
from secondsite.cli.views.verify import lines
from secondsite.database.verify import amcheck, judge, sample
from secondsite.database.verify.digest import spread
from secondsite.database.verify.model import Key, Outcome, Range, Table
from secondsite.errors import FinalError, RetryableError, UsageError
from secondsite.events import ignore
from secondsite.files.rsync.verify import Verification
from secondsite.objectives.snapshot import LagSample
from secondsite.verification import filesets, heartbeat, record
from secondsite.verification.check import Check, unknown
from secondsite.verification.ranges import Compared
from secondsite.verification.run import Wanted, overall, picked, picked_sets
from secondsite.verification.tables import told
from tests.unit.objectives_worlds import SPEC

ORDERS = Table("shop", "public", "orders", ("id",), rows=1_000_000, pages=20_000)
STOCK = Table("shop", "public", "stock", ("shop", "item"), rows=100, pages=2)
Times = dict[str, tuple[int, int] | None]
LOG = Table("shop", "public", "log", (), rows=5000, pages=100)


def histories(changes: list[tuple[str, str | None]]) -> list[Mapping[Key, str]]:
    """The visible rows after each commit; a new version each time."""
    states: list[Mapping[Key, str]] = [{}]
    for number, (key, content) in enumerate(changes):
        rows = dict(states[-1])
        rows.pop((key,), None)
        if content is not None:
            rows[key,] = f"{content} {number}"
        states.append(rows)
    return states


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "x", "y"])), max_size=12),
    st.lists(st.integers(0, 12), min_size=4, max_size=4),
)
def test_a_true_copy_is_never_called_different(changes: list[tuple[str, str | None]], moments: list[int]) -> None:
    states = histories(changes)
    looks = [states[min(moment, len(states) - 1)] for moment in sorted(moments)]
    assert judge.rows(looks).outcome is not Outcome.DIFFERENT
    assert judge.judged(looks) is not Outcome.DIFFERENT


@given(st.integers(0, 3), st.sampled_from(["changed", "missing", "extra"]))
def test_a_fault_of_a_row_at_rest_is_found_and_named(other_rows: int, fault: str) -> None:
    truth: dict[Key, str] = {(str(number),): "v" for number in range(other_rows + 1)}
    copy = dict(truth)
    if fault == "missing":
        del copy["0",]
    else:
        copy[("new",) if fault == "extra" else ("0",)] = "w"
    found = judge.rows([truth, copy, truth, copy])
    assert found.outcome is Outcome.DIFFERENT and len(found.different) == 1
    assert getattr(found, fault) == (("new",) if fault == "extra" else ("0",),)


def test_two_looks_alone_never_prove_a_difference() -> None:
    assert judge.judged(["a", "b"]) is Outcome.BUSY
    assert judge.judged(["a", "b", "a"]) is Outcome.BUSY
    assert judge.judged(["a", "b", "a", "c"]) is Outcome.BUSY
    assert judge.judged(["a", "b", "a", "b"]) is Outcome.DIFFERENT
    assert judge.judged(["a", "b", "b"]) is Outcome.EQUAL


@given(st.integers(1, 200), st.integers(0, 10**6), st.integers(1, 40))
def test_a_sample_keeps_its_budget_and_is_the_same_for_the_same_seed(budget: int, seed: int, count: int) -> None:
    sizes = random.Random(count)
    tables = [
        Table("shop", "public", f"t{n}", ("id",), rows=(r := sizes.randrange(10**6)), pages=r // 50)
        for n in range(count)
    ]
    shares = sample.allotted(tables, budget, seed)
    assert shares == sample.allotted(list(reversed(tables)), budget, seed)
    assert sum(shares.values()) <= budget and all(share >= 1 for share in shares.values())
    assert len(shares) == min(count, budget), "every table has a range as long as the budget lasts"


def test_the_bigger_table_gets_more_and_none_more_than_it_has() -> None:
    shares = sample.allotted([ORDERS, STOCK, LOG], 64, 1)
    assert shares[ORDERS] > 50 and shares[STOCK] == 1 and shares[LOG] == 1
    assert sample.rows_per_range(Table("shop", "public", "new", ("id",))) == sample.UNKNOWN_ROWS
    wide = Table("shop", "public", "wide", ("id",), rows=1000, pages=100_000)
    assert sample.rows_per_range(wide) == sample.LEAST_ROWS


def test_whole_tables_are_drawn_up_to_the_bytes_that_were_allowed() -> None:
    assert sample.within([ORDERS, STOCK, LOG], 10**6, 1) == (LOG, STOCK)
    assert sample.within([ORDERS], 10, 1) == ()


@given(st.integers(0, 30), st.integers(1, 10))
def test_keys_are_spread_evenly_and_each_is_taken_once(drawn: int, count: int) -> None:
    keys: list[Key] = [(str(number),) for number in range(drawn)]
    found = spread(keys, count)
    assert len(found) == len(set(found)) == min(drawn, count) and set(found) <= set(keys)


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "outcome"),
    [
        (0, "", "", Outcome.EQUAL),
        (2, 'btree index "shop.public.o_pkey":\n    ERROR:  item order invariant violated\n    DETAIL:  x', "",
         Outcome.DIFFERENT),
        (2, 'heap table "shop.public.o", block 0, offset 1:\n    attribute is toasted but\n', "", Outcome.DIFFERENT),
        (2, 'btree index "shop.public.o_pkey":\n    ERROR:  canceling statement due to conflict with recovery', "",
         Outcome.BUSY),
        (2, 'heap table "shop.public.o":\n    ERROR:  canceling statement due to statement timeout', "", Outcome.BUSY),
        (1, "", "pg_amcheck: error: connection refused", Outcome.UNKNOWN),
    ],
)  # fmt: skip
def test_pg_amchecks_words_are_told_apart(code: int, stdout: str, stderr: str, outcome: Outcome) -> None:
    found, corruptions, said = amcheck.read(code, stdout, stderr)
    assert found is outcome
    assert bool(corruptions) == (outcome is Outcome.DIFFERENT)
    assert bool(said) == (outcome in (Outcome.BUSY, Outcome.UNKNOWN))
    assert len(corruptions) <= 1, "a detail is no second corruption"


def test_a_name_is_no_pattern() -> None:
    assert amcheck.pattern('od*"d') == '"od*""d"'


def samples(*seconds: float | None, span: int = 1) -> list[LagSample]:
    return [LagSample(float(at * span), "database", value, None) for at, value in enumerate(seconds)]


def test_gaps_are_silence_ignorance_and_a_broken_promise() -> None:
    found = heartbeat.gaps(samples(0.1, None, None, 0.1, 90.0, 0.1), span=1, rpo=60)
    assert [(gap.since, gap.until, gap.why) for gap in found] == [(1, 3, "unknown"), (4, 5, "behind")]
    holed = [one for one in samples(*[0.1] * 100) if not 20 <= one.at < 90]
    assert [(gap.since, gap.until, gap.why) for gap in heartbeat.gaps(holed, span=1, rpo=60)] == [(20, 90, "silent")]


def test_a_heartbeat_must_go_on_now_and_have_gone_on() -> None:
    hour = samples(*[0.1] * 100)
    assert heartbeat.judged("bergen", (1.0, 3.0), hour, [], rpo=60).outcome is Outcome.EQUAL
    assert heartbeat.judged("bergen", (3.0, 3.0), hour, [], rpo=60).outcome is Outcome.DIFFERENT
    assert heartbeat.judged("bergen", (None, 3.0), hour, [], rpo=60).outcome is Outcome.UNKNOWN
    holed = [one for one in hour if not 10 <= one.at < 90]
    gap = heartbeat.judged("bergen", (1.0, 3.0), holed, [], rpo=60)
    assert gap.outcome is Outcome.DIFFERENT
    assert "from 1970-01-01 00:00:10 UTC (the agent here was not running)" in gap.message, "when it was, and why"
    assert "--since '1970-01-01 00:00:10'" in gap.hint
    assert heartbeat.judged("bergen", (1.0, 3.0), holed, [], rpo=100).outcome is Outcome.EQUAL


def test_a_file_that_changes_is_busy_and_one_that_a_pull_leaves_alone_is_wrong() -> None:
    first = Verification(10, 2, ("log", "rotten"), 1.0)
    both = Verification(10, 2, ("log", "rotten"), 1.0)
    before = {"log": (1, 1), "rotten": (5, 5)}
    found = filesets.judged("files uploads", "bergen", first, both, before, {"log": (2, 2), "rotten": (5, 5)})
    assert found.outcome is Outcome.DIFFERENT and found.evidence["wrong"] == ["rotten"]
    moving = Verification(10, 1, ("log",), 1.0)
    assert filesets.judged("f", "bergen", first, moving, before, {"log": (2, 2)}).outcome is Outcome.BUSY
    assert filesets.judged("f", "bergen", first, Verification(10, 0, (), 1.0), before, {}).outcome is Outcome.EQUAL


def test_the_time_of_a_folder_that_a_complete_pull_has_left_alone_is_told_apart_and_nothing_is_moved_away() -> None:
    def judged(first: Verification, second: Verification, before: Times, after: Times) -> Check:
        found = filesets.judged("files uploads", "bergen", first, second, before, after)
        return filesets.timed(found, first, second, before, after)

    quiet = Verification(10, 0, (), 1.0)
    seen = Verification(10, 0, (), 1.0, ("in/", "./"))
    found = judged(seen, seen, {"in/": (1, 1), "./": (1, 1)}, {"in/": (1, 1), "./": (1, 2)})
    assert found.outcome is Outcome.DIFFERENT
    assert found.message == "the times of 1 folders differ that a complete pull has left alone, the first: in/"
    assert "away" not in found.hint and found.evidence["folders"] == ["in/"]
    changing = judged(seen, seen, {"in/": (1, 1), "./": (1, 1)}, {"in/": (1, 2), "./": (1, 2)})
    assert changing.outcome is Outcome.EQUAL and "the times of 2 folders change" in changing.message
    mended = judged(seen, quiet, {"in/": (1, 1), "./": (1, 1)}, {})
    assert mended.outcome is Outcome.EQUAL and "differed until everything was compared just now" in mended.message
    gone = judged(seen, seen, {"in/": None, "./": None}, {"in/": None, "./": None})
    assert gone.outcome is Outcome.EQUAL
    assert "folders" not in judged(quiet, quiet, {}, {}).message


def test_the_times_of_folders_beside_a_file_change_nothing_about_it() -> None:
    first = Verification(10, 1, ("in/rotten",), 1.0, ("in/",))
    times: Times = {"in/rotten": (5, 5), "in/": (1, 1)}
    rotten = filesets.judged("files uploads", "bergen", first, first, times, times)
    found = filesets.timed(rotten, first, first, times, times)
    assert found.outcome is Outcome.DIFFERENT and found.hint == rotten.hint
    assert (
        found.message
        == f"{rotten.message}; the times of 1 folders differ that a complete pull has left alone, the first: in/"
    )
    moving = Verification(10, 1, ("in/log",), 1.0, ("in/",))
    busy = filesets.judged("files uploads", "bergen", moving, moving, {"in/log": (1, 1)}, {"in/log": (2, 2)})
    assert filesets.timed(busy, moving, moving, {"in/": (1, 1)}, {"in/": (1, 2)}) == busy


def check(name: str, outcome: Outcome, *, kind: str = "table", wanted: bool = True) -> Check:
    return Check(name, kind, "bergen", outcome, "seen", wanted=wanted, evidence={"looked_at": []})


def test_the_whole_is_only_as_good_as_what_was_seen() -> None:
    equal, unasked = check("a", Outcome.EQUAL), check("amcheck", Outcome.UNKNOWN, wanted=False)
    assert overall([equal, unasked, check("b", Outcome.BUSY)]) is Outcome.EQUAL
    assert overall([equal, check("b", Outcome.UNKNOWN)]) is Outcome.UNKNOWN
    assert overall([equal, check("b", Outcome.DIFFERENT, wanted=False)]) is Outcome.DIFFERENT
    assert overall([check("b", Outcome.BUSY)]) is Outcome.BUSY, "nothing that was compared is no proof"
    assert overall([unasked]) is Outcome.UNKNOWN and overall([]) is Outcome.UNKNOWN


def test_a_difference_is_remembered_until_the_same_check_is_equal() -> None:
    kept = record.joined(
        None, [check("table a", Outcome.DIFFERENT), check("table b", Outcome.EQUAL)], 1.0, everything=False
    )
    for later in (
        [check("table b", Outcome.EQUAL)],
        [check("table a", Outcome.BUSY)],
        [check("table a", Outcome.UNKNOWN)],
    ):
        kept = record.joined(kept, later, 2.0, everything=False)
        found = record.verified(kept)
        assert found is not None and [(one.name, one.at) for one in found.failed] == [("table a", 1.0)]
    dropped = record.verified(record.joined(kept, [check("table b", Outcome.EQUAL)], 3.0, everything=True))
    assert dropped is not None and not dropped.failed, "a table that is no more is no finding for ever"
    good = record.verified(record.joined(kept, [check("table a", Outcome.EQUAL)], 3.0, everything=False))
    blind = record.verified(record.joined(kept, [check("table c", Outcome.BUSY)], 4.0, everything=False))
    assert blind is not None and blind.seen == 0, "what the last run could not look at is no answer"
    assert good is not None and good.failed == () and good.at == 3.0
    assert good.seen == 1


def test_what_was_different_is_looked_at_again_whatever_the_sample() -> None:
    part = Range(("1",), ("9",))
    found = told(ORDERS, [Compared(ORDERS, part, Outcome.DIFFERENT, 8, (), judge.Rows(changed=(("4",),))),
                          Compared(ORDERS, Range(("9",)), Outcome.EQUAL, 5)], "bergen")  # fmt: skip
    assert found.outcome is Outcome.DIFFERENT
    assert "1 rows changed" in found.message and "(4)" in found.message and "keys from 1 up to 9" in found.message
    assert record.suspects(record.joined(None, [found], 1.0, everything=False)) == {str(ORDERS): (part,)}


def test_a_page_that_cannot_be_read_is_a_difference_and_a_lock_is_not() -> None:
    damaged = unknown(
        "table a", "table", "bergen", FinalError("invalid page in block 3", slug="verify-damaged", host="bergen")
    )
    assert damaged.outcome is Outcome.DIFFERENT and "disk" in damaged.hint
    assert unknown("a", "table", "bergen", RetryableError("lock", slug="verify-busy")).outcome is Outcome.BUSY
    assert unknown("a", "table", "bergen", FinalError("no", slug="verify-refused")).outcome is Outcome.UNKNOWN


def test_tables_are_named_as_a_person_would() -> None:
    assert picked([ORDERS, STOCK], []) == (ORDERS, STOCK)
    for name in ("orders", "public.orders", "shop:orders", "shop:public.orders"):
        assert picked([ORDERS, STOCK], [name]) == (ORDERS,)
    with pytest.raises(UsageError):
        picked([ORDERS], ["nothing"])


def test_arguments_that_nobody_knows_are_refused() -> None:
    assert Wanted.read({"only": "files", "tables": []}) == Wanted(only="files")
    for wrong in ({"colour": 1}, {"only": "dns"}):
        with pytest.raises(UsageError):
            Wanted.read(wrong)


def test_a_person_sees_the_worst_first_and_what_to_do() -> None:
    different = Check("table a", "table", "bergen", Outcome.DIFFERENT, "1 rows changed", "do not fail over")
    document = {
        "service": "shop", "primary": "oslo", "standby": "bergen", "taken_at": "2026-01-01T00:00:00Z", "seconds": 3.0,
        "full": False, "seed": 7, "outcome": "different",
        "checks": [check("table b", Outcome.EQUAL).document(), different.document()],
    }  # fmt: skip
    conforms("verify", document)
    shown = lines(document)
    assert "NOT" in shown[0] and "table a" in shown[2] and shown[3].strip() == "next: do not fail over"
    assert "1 different, 1 equal" in shown[-1] and "seed 7" in shown[-1]
    gap = check("heartbeat", Outcome.DIFFERENT, kind="heartbeat").document()
    assert "NOT" not in lines(document | {"checks": [gap]})[0], "a gap of yesterday says nothing about the copy"


def test_sets_are_named_like_tables_and_each_unknown_one_is_told_with_those_that_exist() -> None:
    uploads = SPEC.files[0]
    pictures = uploads.model_copy(update={"name": "pictures"})
    assert picked_sets((uploads, pictures), ()) == (uploads, pictures)
    assert picked_sets((uploads, pictures), ("pictures", "pictures")) == (pictures,)
    with pytest.raises(UsageError, match=r"no file set upload, media \(sets: uploads, pictures\)") as wrong:
        picked_sets((uploads, pictures), ("upload", "pictures", "media"))
    assert wrong.value.slug == "no-such-set"


def test_only_what_was_named_is_looked_at_and_nothing_else_is_forgotten_for_it() -> None:
    def looks(**more: object) -> tuple[bool, bool]:
        wanted = Wanted.read(more)
        return wanted.database, wanted.files

    assert looks() == looks(full=True) == (True, True)
    assert looks(files_sets=["uploads"]) == looks(only="files", files_sets=["uploads"]) == looks(only="files")
    assert looks(only="files") == (False, True)
    assert looks(tables=["orders"]) == looks(only="database") == (True, False)
    assert looks(tables=["orders"], files_sets=["uploads"]) == (True, True)
    with pytest.raises(UsageError, match="no part of the database"):
        looks(only="database", files_sets=["uploads"])
    assert Wanted.read({"full": True}).everything
    assert not Wanted.read({"full": True, "files_sets": ["uploads"]}).everything


async def test_of_a_set_by_zfs_no_file_is_looked_at_and_the_words_say_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Snapshots:
        async def verify(self, *_: object, **__: object) -> Verification:
            return Verification(2, 0, (), 0.1)

    async def work(*_: object, **__: object) -> dict[str, object]:
        raise AssertionError("a file was looked at")

    monkeypatch.setattr(filesets, "current", lambda *_, **__: Snapshots())
    monkeypatch.setattr(filesets, "work", work)
    (found,) = await filesets.check(SPEC, "bergen", emit=ignore, sample=None, store=tmp_path)
    assert found.outcome is Outcome.EQUAL and found.evidence["read"] == 0
    assert found.message.startswith("2 datasets have the snapshot of the source, unchanged since")
