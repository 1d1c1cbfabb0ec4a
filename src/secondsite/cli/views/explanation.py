"""Explanations for a person: at 80 columns. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from secondsite.cli.explanations import Explanation

WIDTH = 80
_KINDS = {
    "error": ("an error", "Errors"),
    "check": ("a check of readiness", "Checks of readiness"),
    "rule": ("a rule of residency", "Rules of residency"),
}


def told(chosen: Sequence[Explanation]) -> list[str]:
    """Each in full."""
    lines: list[str] = []
    for one in chosen:
        lines += [""] if lines else []
        lines += [f"{one.name}: {_KINDS[one.kind][0]}", "", *_wrapped(one.meaning)]
        if one.do:
            lines += ["", *_wrapped(f"What to do: {one.do}")]
    return lines


def listing(known: Sequence[Explanation]) -> list[str]:
    """The names, by kind."""
    lines: list[str] = []
    for kind, (_, title) in _KINDS.items():
        lines += [title, *_wrapped(", ".join(sorted(one.name for one in known if one.kind == kind))), ""]
    return [*lines, "secondsite explain NAME says what one means."]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
