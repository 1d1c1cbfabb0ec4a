"""What a customer felt: the longest time without service, and the work that is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondsite.rehearsal.felt import Attempt, lost_seconds, outage


def good(at: float, name: str = "") -> Attempt:
    return Attempt("order", name or f"order-{at}", at - 0.01, at)


def bad(at: float) -> Attempt:
    return Attempt("order", f"order-{at}", at, None, "timed out")


def test_an_outage_lasts_from_the_last_acknowledgement_to_the_next() -> None:
    found = outage([good(1), good(2), bad(2.2), bad(3), good(5), good(6)])
    assert found is not None
    assert (found.last_good_before, found.first_good_after) == (2, 5)
    assert found.seconds == 3


def test_a_pause_without_a_failure_is_no_outage() -> None:
    assert outage([good(1), good(2), good(9)]) is None


def test_an_attempt_that_was_sent_before_the_last_good_one_and_failed_belongs_to_the_outage() -> None:
    found = outage([good(1), bad(1.9), good(2), good(8)])
    assert found is not None and found.seconds == 6


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), max_size=60))
def test_an_outage_never_reaches_beyond_what_was_acknowledged(moments: list[tuple[float, bool]]) -> None:
    attempts = [good(at) if worked else bad(at) for at, worked in moments]
    found = outage(attempts)
    if found is not None:
        acknowledged = [one.acknowledged_at for one in attempts if one.acknowledged_at is not None]
        assert found.last_good_before in acknowledged and found.first_good_after in acknowledged
        assert not any(found.last_good_before < at < found.first_good_after for at in acknowledged)


def test_lost_work_is_measured_from_where_everything_is_still_there_to_the_last_good_moment() -> None:
    attempts = [good(1, "a"), good(2, "b"), good(3, "c"), bad(3.5), good(9, "d")]
    assert lost_seconds(attempts, ["b", "c"], outage(attempts)) == 2, "everything up to a is still there"
    assert lost_seconds(attempts, [], outage(attempts)) == 0
