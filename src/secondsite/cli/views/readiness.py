"""``secondsite readiness`` for a person: what stands in the way first, then every check and its answer."""

from __future__ import annotations

from collections.abc import Mapping
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
        mark = _answer(check["ok"], worst.get(check["check"]))
        table.add_row(mark, Text(check["question"]), Text(check["check"], "dim"))
    parts: list[RenderableType] = [headline(status, width), *finding_lines(status, width), Text(), table]
    if status["findings"]:
        parts += [Text(), Text("secondsite explain CHECK says what a check asks, and why", "dim")]
    return Group(*parts)


def _answer(ok: bool | None, severity: str | None) -> Text:
    if ok is None:
        return Text("?", "bold")
    return Text("yes", "green") if ok else Text("no", "bold red" if severity == "critical" else "yellow")
