"""A campaign's rounds as lines and as a table."""

from __future__ import annotations

from typing import Any

from campaign.plan import draw
from campaign.play import Round
from campaign.table import HEAD, line, reported, table

ROUND: dict[str, Any] = Round(draw(2026, 7), None, ("something is left",), 1.234, 40.0, ()).document()


def test_a_failed_round_is_one_line_and_one_for_each_broken_promise() -> None:
    first, second = line(ROUND).splitlines()
    assert first.startswith("round 7: async oslo: agent-killed oslo ") and first.endswith("FAILED")
    assert second == "    ✗ something is left"


def test_the_table_has_a_column_for_each_head_and_a_row_for_each_round() -> None:
    lines = table([ROUND, ROUND]).splitlines()
    assert len(lines) == 4
    assert {text.count("|") for text in lines} == {HEAD.count("|")}


def test_what_a_failover_said_is_shown_and_the_unknown_as_unknown() -> None:
    assert reported({"reported": None}) == "–"
    assert reported({"reported": {"fence": "unconfirmed", "at_most_seconds": 1.75}}) == "fence unconfirmed, ≤ 1.8 s"
    assert reported({"reported": {"fence": "confirmed", "at_most_seconds": None}}) == "fence confirmed, unknown"
