"""``secondsite status`` for a person: good at 80 columns, and without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from secondsite.cli.views.sparkline import BARS, PLAIN, drawn, fitted
from secondsite.cli.views.verdict import STALE_SECONDS, moment, span, verdict
from secondsite.cli.wording import quantity

Document = Mapping[str, Any]
WIDEST = 110
_MOODS = {"good": "bold green", "bad": "bold yellow", "worst": "bold white on red"}
_SEVERITIES = {"critical": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "dim")}
_GOOD_STATES = ("streaming", "running", "current", "source", "pulling", "waiting")
_WEAK_STATES = ("catching-up", "stale", "paused")


def printed(status: Document) -> None:
    """On standard output."""
    console = Console(highlight=False)
    console.print(shown(status, min(console.width, WIDEST), plain=console.encoding.lower() not in ("utf-8", "utf8")))


def shown(status: Document, width: int, *, plain: bool = False) -> RenderableType:
    """The whole picture. plain: no characters beyond ASCII in the sparklines."""
    return Group(
        _header(status, width),
        Text(),
        headline(status, width),
        Text(),
        _sites(status),
        Text(),
        _replicas(status, width, plain=plain),
        *_delayed(status),
        *finding_lines(status, width),
    )


def _header(status: Document, width: int) -> Text:
    left = Text()
    left.append(status["service"], "bold")
    if status["generation"] is not None:
        left.append(f"  generation {status['generation']}", "dim")
    right = Text(moment(status["taken_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S"), "dim")
    return left + Text(" " * max(2, width - cell_len(left.plain) - cell_len(right.plain))) + right


def headline(status: Document, width: int) -> Text:
    """The verdict, its word set off from its sentence."""
    said = verdict(status)
    out = Text()
    out.append(f" {said.word} ", _MOODS[said.mood] + (" reverse" if said.mood != "worst" else ""))
    out.append("\n" + textwrap.fill(said.text, width))
    return out


def _sites(status: Document) -> Table:
    table = _table("SITE", "ROLE", "DATABASE", "TIMELINE", "APPLICATION", "WHERE")
    for name, site in status["sites"].items():
        table.add_row(
            Text(name, "bold"), _role(site), _database(site), _timeline(site), _application(site),
            Text(f"{site['operator']}, {site['country']}", "dim"),
        )  # fmt: skip
    return _spared(table)


def _role(site: Document) -> Text:
    if not site["reachable"]:
        set_up = (site.get("silent") or {}).get("set_up", True)
        return Text("silent", "bold red") if set_up else Text("not set up", "yellow")
    if site.get("former_primary"):
        return Text("former primary", "bold yellow")
    age = site.get("age_seconds")
    role = Text(site["role"])
    return role if age is None or age <= STALE_SECONDS else role + Text(f", {span(age)} ago", "yellow")


def _database(site: Document) -> Text:
    if not site["reachable"]:
        last = site.get("last_known")
        return Text(f"was {last['role']}" if last else "?", "dim")
    if site.get("former_primary"):
        if site["role"] == "unknown":
            return Text("not seen", "bold red")
        stopped = site["role"] == "stopped"
        return Text("stopped" if stopped else "read-only", "yellow")
    return Text(site["database"]["state"], _colour(site["database"]["state"]))


def _timeline(site: Document) -> Text:
    if site["reachable"]:
        return Text(_or_dash(site["database"]["timeline"]))
    last = site.get("last_known")
    return Text(_or_dash(last["database"]["timeline"] if last else None), "dim")


def _application(site: Document) -> Text:
    works = site["application"]
    return Text("-", "dim") if works is None else Text("answers", "green") if works else Text("does not answer", "red")


def _replicas(status: Document, width: int, *, plain: bool) -> Table:
    table = _table("REPLICA", "STATE", ">BEHIND", ">", "LAST 5 MINUTES")
    agreed = status["rpo"]["objective_seconds"]
    names = max((len(replica["name"]) for replica in status["replicas"]), default=8)
    room = max(10, min(60, width - names - 46))
    for replica in status["replicas"]:
        table.add_row(
            Text(replica["name"], "bold"),
            _state(status, replica),
            _behind(replica["lag_seconds"], agreed),
            Text(_amount(replica), "dim"),
            _spark(replica["history"]["lag_seconds"], room, agreed, plain=plain),
        )
    return _spared(table)


def _delayed(status: Document) -> list[RenderableType]:
    """The standby that replays late: how far back it still shows."""
    found = status.get("delayed")
    if not found:
        return []
    line = Text()
    line.append(f"delayed by {span(found['delay_seconds'])}", "bold")
    line.append(f"  {found['site']}, {found['cluster']}: ")
    line.append(found["state"], _colour(found["state"]))
    if found["shows"]:
        shown_at = moment(found["shows"]).astimezone().strftime("%H:%M:%S")
        line.append(f", shows {shown_at}, {span(found['shows_seconds_ago'])} ago")
    return [Text(), line]


def _state(status: Document, replica: Document) -> Text:
    held = status["sites"].get(replica.get("site")) or {}
    if held.get("former_primary") and held["reachable"]:
        return Text("not replicated", "bold red")
    files = replica.get("files") or {}
    pulled, coming = replica["state"] == "current" and files.get("unstreamed"), files.get("coming") or {}
    more = ", sync" if replica.get("synchronous") else ", pulled" if pulled else ""
    if replica["state"] == "pulling" and coming.get("total_bytes"):
        more = f" {coming['done_bytes'] / coming['total_bytes']:.0%}"
    return Text(replica["state"] + more, _colour(replica["state"]))


def _behind(seconds: float | None, agreed: float) -> Text:
    return Text("unknown", "bold red") if seconds is None else Text(span(seconds), _load(seconds, agreed))


def _amount(replica: Document) -> str:
    parts = []
    if replica["lag_bytes"] is not None:
        parts.append(quantity(replica["lag_bytes"], "bytes"))
    if replica["lag_files"] is not None:
        parts.append(f"{replica['lag_files']} files")
    limit = (replica.get("bandwidth") or {}).get("bytes_per_second")
    if limit is not None:
        parts.append(f"at most {quantity(limit, 'bytes')}/s")
    return ", ".join(parts)


def _spark(values: list[float | None], room: int, agreed: float, *, plain: bool) -> Text:
    fit = fitted(values, room)
    known = [value for value in fit if value is not None]
    if not known:
        return Text("no samples", "dim")
    line = Text()
    for value, bar in zip(fit, drawn(fit, agreed, bars=PLAIN if plain else BARS), strict=True):
        line.append(bar, "dim" if value is None else _load(value, agreed))
    return line + Text(f" max {span(max(known))}", "dim")


def finding_lines(status: Document, width: int) -> list[RenderableType]:
    """The findings with their hints, the worst first."""
    out: list[RenderableType] = [Text()]
    if all(finding["severity"] == "info" for finding in status["findings"]):
        out.append(Text("Nothing stands in the way.", "green"))
    for finding in status["findings"]:
        mark, style = _SEVERITIES[finding["severity"]]
        where = f"{finding['site']}: " if finding["site"] else ""
        lead = f"{mark} {finding['severity']:<9}"
        body = textwrap.wrap(f"{where}{finding['message']}", max(20, width - 12), break_on_hyphens=False)
        line = Text()
        line.append(lead, style)
        line.append(f" {body[0]}")
        for more in body[1:]:
            line.append(f"\n{'':12}{more}")
        for place, more in enumerate(textwrap.wrap(finding["hint"], max(20, width - 14), break_on_hyphens=False)):
            line.append(f"\n{'':12}{'> ' if place == 0 else '  '}{more}", "dim")
        out.append(line)
    return out


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def _spared(table: Table) -> Table:
    """Where it is too wide, only the last column gives way."""
    for column in table.columns[:-1]:
        cells = [cell.cell_len for cell in column.cells if isinstance(cell, Text)]
        column.min_width = max([*cells, len(str(column.header))], default=0)
    return table


def _colour(state: str) -> str:
    return "green" if state in _GOOD_STATES else "yellow" if state in _WEAK_STATES else "bold red"


def _load(seconds: float, agreed: float) -> str:
    return "green" if seconds <= agreed / 2 else "yellow" if seconds <= agreed else "bold red"


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
