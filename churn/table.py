"""A round as a line, and the rounds as a Markdown table, also within a page that has one already."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    "| seed | file system | engine | operations | faults | entries | followed | pulls | identical after (s) | verdict |"
)
RULE = "|---|---|---|---|---|---|---|---|---|---|"


def line(one: Mapping[str, Any]) -> str:
    """For a terminal; what was wrong stands below."""
    first = (
        f"seed {one['seed']} {one['file_system']} by {one['engine']}: {one['operations']} operations, "
        f"{len(one['faults'])} faults, {one['entries']} entries, followed {one['followed_share']:.0%}, "
        f"{one['pulls']} pulls, identical after {one['identical_after_seconds']} s, verify {one['verify'] or '–'}, "
        f"{one['seconds']} s: {one['verdict'].upper()}"
    )
    return "\n".join([first, *(f"    ✗ {words}" for words in one["wrong"])])


def faults(one: Mapping[str, Any]) -> str:
    """How many of which kind."""
    found = Counter(str(each).split()[1] for each in one["faults"])
    return ", ".join(f"{number} {kind}" for kind, number in sorted(found.items()))


def verdict(one: Mapping[str, Any]) -> str:
    """Of every time that it was played: a fault that was mended since is still one that was found."""
    told = [str(each["verdict"]) for each in (*one.get("earlier", ()), one)]
    return ", then ".join(here for before, here in zip([None, *told], told, strict=False) if here != before)


def table(rounds: Sequence[Mapping[str, Any]]) -> str:
    """So that docs can take it over as it is."""
    return "\n".join([HEAD, RULE, *(_row(one) for one in rounds)])


def into(page: str, rounds: Sequence[Mapping[str, Any]]) -> str:
    """The page with these rounds as its table. Raises ValueError where it has none."""
    start = page.index(HEAD)
    old = re.match(r"(?:\|.*\n)*", page[start:])
    assert old is not None  # it matches nothing, at least
    return page[:start] + table(rounds) + "\n" + page[start + old.end() :]


def _row(one: Mapping[str, Any]) -> str:
    cells = (
        one["seed"],
        one["file_system"],
        one["engine"],
        one["operations"],
        faults(one),
        one["entries"],
        "–" if one["engine"] == "zfs" else f"{one['followed_share']:.0%}",
        one["pulls"],
        one["identical_after_seconds"],
        verdict(one),
    )
    return f"| {' | '.join(map(str, cells))} |"
