"""What a person sees: the sentence, the bars, and a picture that fits its width."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from secondsite.cli.views import readiness
from secondsite.cli.views.sparkline import BARS, GAP, PLAIN, drawn, fitted
from secondsite.cli.views.status import shown
from secondsite.cli.views.verdict import verdict
from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.objectives.document import document
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import Silence, SiteView
from secondsite.objectives.status import assess
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, standby, views, well


def told(seen: dict[str, SiteView], history: tuple[PastRun, ...] = ()) -> dict[str, Any]:
    status = assess(SPEC, seen, history, datetime.fromtimestamp(NOW, UTC))
    made: dict[str, Any] = json.loads(json.dumps(document(status)))
    return made


def lines(picture: Any, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    console.print(picture)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_sentence_says_what_would_be_lost_and_when_one_is_back() -> None:
    said = verdict(told(well(), tuple(PastRun("drill", str(n), NOW - 60, 40.0) for n in range(3))))
    assert said.word == "READY"
    assert said.text == (
        "If oslo burned now you would lose at most 2.0 s of work; back in about 40.0 s (median of the last 3 drills)."
    )


def test_without_a_rehearsal_no_time_is_promised() -> None:
    assert "has never been measured" in verdict(told(well())).text


def test_a_silent_primary_is_told_with_what_was_lost_then() -> None:
    seen = well() | {"oslo": Silence("oslo", "no answer", NOW - 90, site("oslo", primary()))}
    said = verdict(told(seen))
    assert said.word == "PRIMARY SILENT" and "for 1m 30s" in said.text


def test_two_primaries_are_the_worst_word() -> None:
    assert verdict(told(well() | {"bergen": site("bergen", primary(timeline=2))})).word == "TWO PRIMARIES"


def test_a_silent_standby_leaves_nowhere_to_go() -> None:
    assert "nowhere to go" in verdict(told(well() | {"bergen": Silence("bergen", "no answer", NOW - 5)})).text


def test_a_primary_that_was_last_heard_a_while_ago_is_shown_with_that_age() -> None:
    status = assess(SPEC, well(), (), datetime.fromtimestamp(NOW, UTC), ages={"oslo": 2.9, "bergen": 0.4})
    seen = json.loads(json.dumps(document(status)))
    assert verdict(seen).text.endswith("oslo was last heard 2.9 s ago.")
    text = "\n".join(lines(shown(seen, 80), 80))
    assert "primary, 2.9 s ago" in text and "standby, " not in text


def test_a_former_primary_is_shown_as_what_it_is_with_the_way_back() -> None:
    back = standby(timeline=1, streaming=Streaming.RECEIVER_DOWN)
    seen: dict[str, SiteView] = {
        "oslo": site("oslo", back, guard_reason="bergen is in generation 2, this site only in 1"),
        "bergen": site("bergen", primary(timeline=2), quarantining_peer=True),
    }
    assert verdict(told(seen)).word == "NO STANDBY"
    for width in (80, 120):
        text = "\n".join(lines(shown(told(seen), width), width))
        assert "former primary" in text and "not replicated" in text and "receiver-down" not in text
        told_at_once = " ".join(text.split())
        assert "by its guard: bergen is in generation 2" in told_at_once and "secondsite failback" in told_at_once
    asked = lines(readiness.shown(told(seen), 110), 110)
    assert any(line.startswith("no *") and "timeline" in line for line in asked)
    assert "* only follows from former-primary" in asked


def test_a_former_primary_whose_database_was_not_seen_is_not_called_read_only() -> None:
    seen: dict[str, SiteView] = {
        "oslo": site("oslo", DatabaseState(Role.UNKNOWN)),
        "bergen": site("bergen", primary(timeline=2), quarantining_peer=True),
    }
    assert "oslo was primary, and may still accept writes" in verdict(told(seen)).text
    text = " ".join("\n".join(lines(shown(told(seen), 110), 110)).split())
    assert "not seen" in text and "may still accept writes" in text
    assert "read-only" not in text and "held back" not in text


def test_a_host_where_nothing_is_installed_is_not_called_silent() -> None:
    seen: dict[str, SiteView] = {
        "oslo": Silence("oslo", "its host answers", set_up=False),
        "bergen": Silence("bergen", "no answer"),
    }
    text = "\n".join(lines(shown(told(seen), 80), 80))
    assert "not set up" in text and "secondsite is not set up at oslo" in text


def test_how_fast_a_set_may_come_is_said_where_it_is_limited() -> None:
    status = told(well())
    (uploads,) = [one for one in status["replicas"] if one["kind"] == "files"]
    for told_limit, said in ((5_000_000, True), (None, False)):
        uploads["bandwidth"] = {"bytes_per_second": told_limit, "set_by": "command"}
        picture = lines(shown(status, 80), 80)
        assert any("at most 5.0 MB/s" in line for line in picture) is said, picture


@settings(deadline=None, max_examples=40)  # a picture is judged here, not how busy the machine is
@given(views(), st.sampled_from([80, 110]))
def test_the_picture_always_fits_its_width(seen: dict[str, SiteView], width: int) -> None:
    for line in lines(shown(told(seen), width), width) + lines(readiness.shown(told(seen), width), width):
        assert len(line) <= width


def test_every_site_replica_and_hint_is_in_the_picture() -> None:
    text = "\n".join(lines(shown(told(well() | {"bergen": site("bergen", standby(), agent_running=False)}), 80), 80))
    for wanted in ("oslo", "bergen", "database", "uploads", "the agent is not running", "systemctl start"):
        assert wanted in text


@pytest.mark.parametrize("width", range(70, 90))
def test_a_command_in_a_hint_is_never_broken_inside_a_word(width: int) -> None:
    shown_lines = lines(shown(told(well() | {"oslo": site("oslo", primary(), quarantining_peer=True)}), width), width)
    assert not any(line.endswith("-") for line in shown_lines)
    assert "--replace-standby" in "\n".join(shown_lines)


def test_what_cannot_be_known_is_asked_and_not_answered() -> None:
    text = lines(readiness.shown(told(well() | {"oslo": Silence("oslo", "no answer", NOW)}), 80), 80)
    assert any(line.startswith("not seen") and "same-cluster" in line for line in text)
    assert any(line.startswith("no ") and "reachable" in line for line in text)
    assert any(line.startswith("not seen, ") and line.endswith("questions: oslo does not answer") for line in text)


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=80), st.floats(0.1, 1e5), st.sampled_from([BARS, PLAIN]))
def test_a_gap_is_a_gap_and_everything_else_a_bar(values: list[float | None], agreed: float, bars: str) -> None:
    line = drawn(values, agreed, bars=bars)
    assert len(line) == len(values)
    assert all((sign == GAP) == (value is None) for sign, value in zip(line, values, strict=True))


@given(st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=80), st.integers(1, 60))
def test_fewer_bars_still_show_the_worst(values: list[float | None], width: int) -> None:
    known = [value for value in values if value is not None]
    fit = [value for value in fitted(values, width) if value is not None]
    assert max(fit, default=None) == max(known, default=None)


@pytest.mark.parametrize("width", [0, -3])
def test_no_room_is_no_bars(width: int) -> None:
    assert fitted([1.0], width) == []
