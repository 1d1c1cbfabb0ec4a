"""``secondsite readiness`` for a person: what stands in the way first, then every check and its answer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from secondsite.cli.views.status import WIDEST, finding_lines, headline


def printed(status: Mapping[str, Any]) -> None:
    """On standard output."""
    console = Console(highlight=False)
    console.print(shown(status, min(console.width, WIDEST)))


def shown(status: Mapping[str, Any], width: int) -> RenderableType:
    """The whole picture."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    worst = {finding["check"]: finding["severity"] for finding in reversed(status["findings"])}
    for check in status["checks"]:
        mark = _answer(check, worst.get(check["check"]))
        table.add_row(mark, Text(check["question"]), Text(check["check"], "dim"))
    parts: list[RenderableType] = [headline(status, width), *finding_lines(status, width), Text(), table]
    parts += _unseen(status["checks"], width)
    if status["findings"]:
        parts += [Text(), Text("secondsite explain CHECK says what a check asks, and why", "dim")]
    return Group(*parts)


def _answer(check: Mapping[str, Any], severity: str | None) -> Text:
    match check["answer"]:
        case "yes":
            return Text("yes", "green")
        case "no" if check["follows_from"]:
            return Text("no *", "dim")
        case "no":
            return Text("no", "bold red" if severity == "critical" else "yellow")
        case "nothing-to-see":
            return Text("-", "dim")
        case _:
            return Text("not seen", "bold")


def _unseen(checks: Sequence[Mapping[str, Any]], width: int) -> list[RenderableType]:
    """Why not everything was answered with yes or no, one line a reason."""
    reasons: dict[str, int] = {}
    for check in checks:
        if check["answer"] == "not-seen":
            reasons[check["why"]] = reasons.get(check["why"], 0) + 1
    lines: list[RenderableType] = []
    for why, count in sorted(reasons.items(), key=lambda one: -one[1]):
        told = f"not seen, {count} {'question' if count == 1 else 'questions'}: {why}"
        lines.append(Text(textwrap.fill(told, width, subsequent_indent="  ", break_on_hyphens=False)))
    roots = {check["follows_from"] for check in checks if check["follows_from"]}
    lines += [Text(f"* only follows from {root}", "dim") for root in sorted(roots)]
    return [Text(), *lines] if lines else []
