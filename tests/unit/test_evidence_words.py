"""Numbers in words, and the geometry of the pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.evidence.axis import Axis
from secondsite.evidence.deviations import deviations
from secondsite.evidence.felt_chart import LETTER, chart, staggered
from secondsite.evidence.headline import sentence
from secondsite.evidence.overview_chart import overview
from secondsite.evidence.report import complete
from secondsite.evidence.waterfall import LEFT, RIGHT, waterfall
from secondsite.evidence.words import objective, offset, span
from tests.unit.evidence_sample import empty, sample


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "not measured"), (0, "0 s"), (0.42, "420 ms"), (0.9996, "1.00 s"), (4.213, "4.21 s"), (42.13, "42.1 s"),
     (59.96, "1 min"), (125, "2 min 5 s"), (300, "5 min"), (3599.7, "1 h"), (4200, "1 h 10 min")],
)  # fmt: skip
def test_span(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


def test_objectives_keep_the_digits_they_were_given() -> None:
    assert [objective(value) for value in (None, 1.5, 60, 300)] == ["not set", "1.5 s", "1 min", "5 min"]


def test_offsets_count_from_the_fault() -> None:
    assert [offset(value) for value in (0, 1.5, -0.25, 725)] == ["0.000 s", "+1.500 s", "−0.250 s", "+12:05 min"]


def test_the_sentence_says_it_all() -> None:
    assert sentence(complete(sample())) == (
        "The host loses its power at oslo: customers were without service for 4.26 s (objective 5 min), and 3 orders "
        "and 1 file are lost, 612 ms of work (objective 1 min)."
    )


@given(
    st.lists(st.tuples(st.floats(62, 948), st.text("abcdef ", min_size=1, max_size=40)), max_size=8),
)
def test_no_two_texts_of_flags_meet(named: list[tuple[float, str]]) -> None:
    flags = staggered([("step", x, text) for x, text in sorted(named)])
    boxes = []
    for flag in flags:
        wide = len(flag.text) * LETTER
        begin = flag.x - wide if flag.anchor == "end" else flag.x
        boxes.append((flag.y, begin, begin + wide))
    for place, (y, begin, end) in enumerate(boxes):
        assert not any(y == other and begin < right and left < end for other, left, right in boxes[:place])


@given(st.floats(-1e5, 1e5), st.floats(0.01, 1e5))
def test_ticks_lie_on_the_axis_and_are_few(start: float, length: float) -> None:
    ticks = Axis(start, start + length, 0, 900).ticks()
    assert len(ticks) <= 13
    assert all(-0.1 <= tick.x <= 900.1 for tick in ticks)


def test_the_picture_shows_each_attempt_around_the_outage_once() -> None:
    report = complete(sample())
    shown = chart(report)
    assert shown is not None and shown.gap is not None
    begin, end = shown.window
    inside = [one for one in report["customer"]["series"] if begin <= one["t"] <= end]
    drawn = sum(path.count("M") for lane in shown.lanes for path in lane.marks.values())
    assert drawn == len(inside) > 20
    assert [flag.text.split()[0] for flag in shown.flags] == ["fault", "noticed", "command", "promoted", "DNS", "first"]
    assert overview(report, shown) is not None


def test_steps_that_ran_at_the_same_time_lie_below_one_another() -> None:
    fall = waterfall(complete(sample()))
    assert fall is not None and fall.turn is not None
    bars = {bar.title: bar for bar in fall.bars}
    dns, application = bars["Point the DNS here"], bars["Start the application"]
    assert dns.x is not None and application.x is not None and dns.x < application.x < dns.x + dns.width
    assert all(bar.x is None or LEFT <= bar.x <= bar.x + bar.width <= RIGHT + 2.5 for bar in fall.bars)
    assert bars["Promote the standby"].x == fall.turn
    assert bars["Checkpoint on the new timeline"].cut


def test_nothing_is_drawn_of_what_nobody_saw() -> None:
    report = complete(empty())
    fall = waterfall(report)
    assert chart(report) is None
    assert fall is not None and fall.served is None and fall.turn is None
    assert waterfall(complete({})) is None


def test_a_last_pull_that_fetched_nothing_is_marked_and_told_with_its_reason() -> None:
    report = sample()
    step = next(step for step in report["procedure"]["steps"] if step["name"] == "files")
    step["details"] = {"sets": {"uploads": {"final_pull": "oslo does not answer"}}}
    fall = waterfall(complete(report))
    assert fall is not None
    (bar,) = (bar for bar in fall.bars if bar.title == "Fetch the last files")
    assert (bar.outcome, bar.message) == ("incomplete", "uploads: oslo does not answer")
    told = [one for one in deviations(complete(report)) if one.what.startswith("Fetch the last files")]
    assert [(one.severity, one.told) for one in told] == [("info", "uploads: oslo does not answer")]


def test_deviations_name_each_thing_once_and_the_worst_first() -> None:
    report = sample()
    report["checks"][0]["passed"] = False
    report["rto"]["met"] = False
    check = report["checks"][0]
    report["verdict"] = {"passed": False, "reasons": [f"{check['name']}: {check['told']}", "RTO missed", "and more"]}
    found = deviations(complete(report))
    assert [one.severity for one in found] == ["critical"] * 3 + ["warning", "info"]
    assert [one.what for one in found][:3] == [check["name"], "RTO missed", "and more"]
