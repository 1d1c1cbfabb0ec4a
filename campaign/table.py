"""A round as a line, and a campaign as a Markdown table, also within a page that has one already."""

from __future__ import annotations

import re
from collections import Counter
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
    return "\n".join([HEAD, RULE, *(_row(one) for one in rounds)])


def verdict(one: Mapping[str, Any]) -> str:
    """Of every time that a round was played: a mistake that was mended since is still one that was found."""
    told = [str(each["verdict"]) for each in (*one.get("earlier", ()), one)]
    return ", then ".join(here for before, here in zip([None, *told], told, strict=False) if here != before)


def into(page: str, rounds: Sequence[Mapping[str, Any]]) -> str:
    """The page with these rounds in its table, counted above; rows of other rounds stay as they are.

    Raises ValueError where the page has no such table.
    """
    start = page.index(HEAD)
    rows = re.match(r"(?:\|.*\n)*", page[start:])
    assert rows is not None  # it matches nothing, at least
    old = rows.group().splitlines()[2:]
    known = {int(row.split("|")[1]): row for row in old} | {int(one["round"]): _row(one) for one in rounds}
    lines = [known[number] for number in sorted(known)]
    before = re.sub(r"\d+ rounds, .*\n\n$", "", page[:start])
    told = f"{count(lines)}\n\n"
    return before + told + "\n".join([HEAD, RULE, *lines]) + "\n" + page[start + rows.end() :]


def count(rows: Sequence[str]) -> str:
    """Rows of the table, counted by mode and verdict."""
    modes = Counter(row.split("|")[2].split(",")[0].strip() for row in rows)
    ends = Counter(row.rstrip().rstrip("|").split("|")[-1].strip() for row in rows)
    by_mode = ", ".join(f"{number} {mode}" for mode, number in sorted(modes.items()))
    return f"{len(rows)} rounds, {by_mode}: " + ", ".join(f"{number} {end}" for end, number in ends.most_common()) + "."


def _row(one: Mapping[str, Any]) -> str:
    return (
        f"| {one['round']} | {one['mode']}, {one['primary']} | {'; '.join(one['faults'])} | {one['reaction']} "
        f"| {one['acknowledged']} | {one['lost']} | {reported(one)} | {one['outage_seconds']} | {verdict(one)} |"
    )
