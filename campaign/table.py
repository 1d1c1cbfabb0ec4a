"""A round as a line, and a campaign as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = "| round | mode, primary | faults (seconds) | operator | acknowledged | lost | reported | outage (s) | verdict |"
RULE = "|---|---|---|---|---|---|---|---|---|"


def line(one: Mapping[str, Any]) -> str:
    """For a terminal; what was wrong stands below."""
    first = (
        f"round {one['round']}: {one['mode']} {one['primary']}: {'; '.join(one['faults'])} | {one['reaction']} | "
        f"acknowledged {one['acknowledged']}, lost {one['lost']} ({one.get('beside')} beside), "
        f"reported {reported(one)}, outage {one['outage_seconds']} s, {one['seconds']} s: {one['verdict'].upper()}"
    )
    return "\n".join([first, *(f"    ✗ {words}" for words in one["wrong"])])


def reported(one: Mapping[str, Any]) -> str:
    """What the failover said of the loss, short."""
    told = one["reported"]
    if not told:
        return "–"
    seconds = told.get("at_most_seconds")
    return f"fence {told.get('fence') or '?'}, " + ("unknown" if seconds is None else f"≤ {seconds:.1f} s")


def table(rounds: Sequence[Mapping[str, Any]]) -> str:
    """So that docs can take it over as it is."""
    rows = [
        f"| {one['round']} | {one['mode']}, {one['primary']} | {'; '.join(one['faults'])} | {one['reaction']} "
        f"| {one['acknowledged']} | {one['lost']} | {reported(one)} | {one['outage_seconds']} | {one['verdict']} |"
        for one in rounds
    ]
    return "\n".join([HEAD, RULE, *rows])
