"""A campaign's rounds as lines and as a table."""

from __future__ import annotations

from typing import Any

from campaign.__main__ import earlier
from campaign.plan import draw
from campaign.play import Round
from campaign.table import HEAD, into, line, reported, table, verdict

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


def test_a_round_that_failed_and_held_when_it_was_played_again_says_both() -> None:
    again = {**ROUND, "verdict": "held", "wrong": [], "earlier": earlier(ROUND)}
    assert verdict(ROUND) == "failed"
    assert verdict(again) == "failed, then held"
    assert verdict({**again, "earlier": earlier(again)}) == "failed, then held"


def test_a_page_takes_new_rounds_keeps_the_others_and_counts_them_all() -> None:
    page = f"# Rounds\n\n{table([ROUND])}\n\nAnd so on.\n"
    other = {**ROUND, "round": 3, "mode": "sync-block", "verdict": "held"}
    once = into(page, [other])
    assert into(once, [other]) == once
    rows = [text for text in once.splitlines() if text.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == ["round", "---", "3", "7"]
    assert "\n\n2 rounds, 1 async, 1 sync-block: 1 held, 1 failed.\n\n| round |" in once
    assert once.startswith("# Rounds\n\n2 rounds") and once.endswith("|\n\nAnd so on.\n")
