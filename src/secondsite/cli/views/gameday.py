"""The end of a game day for a person at a terminal: good at 80 columns, and without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from secondsite.cli.views.strips import bar_cells, felt_cells
from secondsite.evidence.deviations import deviations
from secondsite.evidence.felt_chart import chart
from secondsite.evidence.headline import left_no_row, lived_on, outage, sentence, standby
from secondsite.evidence.milestones import Milestone, milestones, since_fault
from secondsite.evidence.report import Report, complete, rehearsed
from secondsite.evidence.waterfall import Bar, waterfall
from secondsite.evidence.words import clock, listed, objective, offset, span

WIDTH, TITLE = 78, 41
_MARKS = {
    "done": ("✓", "green"),
    "already": ("✓", "green"),
    "unconfirmed": ("!", "yellow"),
    "incomplete": ("!", "yellow"),
    "failed": ("✗", "bold red"),
    "skipped": ("·", "dim"),
}
_SEVERITIES = {"critical": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("·", "dim")}
_SHAPES = {"●": "blue", "×": "bold red", "◆": "green"}
_ASCII = str.maketrans("●×◆✓✗·━↶−…", "oxv+x.=~-.")


def show(document: Mapping[str, Any]) -> None:
    """Print the summary to standard output."""
    console = Console(highlight=False, soft_wrap=True)
    plain = console.encoding.lower().replace("-", "") != "utf8"
    for line in _summary(complete(document)):
        console.print(line.plain.translate(_ASCII) if plain else line, markup=False)


def lines(document: Mapping[str, Any]) -> list[str]:
    """Pure: the text of ``show``, at most 80 columns wide."""
    return [line.plain.rstrip() for line in _summary(complete(document))]


def _summary(report: Report) -> Iterator[Text]:
    passed = report["verdict"]["passed"]
    yield Text()
    kind = "game day" if rehearsed(report) else "failover"
    yield Text.assemble(
        (" PASSED " if passed else " NOT PASSED ", "bold white on green" if passed else "bold white on red"),
        (f"  {kind} of ", ""), (report["service"], "bold"), (f"   {report['id']}", "dim"),
    )  # fmt: skip
    yield Text()
    yield from (Text(f" {line}", "bold") for line in textwrap.wrap(sentence(report), WIDTH - 1))
    if report["scenario"]["approver"]:
        yield from (
            Text(f" {line}") for line in textwrap.wrap(f"Approved by {report['scenario']['approver']}.", WIDTH - 1)
        )
    for part in (_felt(report) if rehearsed(report) else _when(report), _cost(report), _done(report), _checks(report)):
        yield from part
    yield Text()


def _when(report: Report) -> Iterator[Text]:
    """The moments of a failover that nobody had planned: there was no customer of ours."""
    yield from _title("What happened", "UTC, and seconds from the last sign of life")
    for one in milestones(report):
        yield Text(f"   {clock(one.at)}  {offset(one.seconds):>10}   {one.label}")


def _felt(report: Report) -> Iterator[Text]:
    yield from _title("What the customer felt", "UTC, and seconds from the fault")
    shown = chart(report)
    if shown is None:
        yield Text("   not measured: no customer was at work", "yellow")
    else:
        begin, end = (f"{edge:+.1f} s".replace("-", "−") for edge in shown.window)
        cells = felt_cells(report, shown.window, WIDTH - 7 - len(begin) - len(end))
        strip = Text.assemble((f"   {begin}  ", "dim"))
        for cell in cells:
            strip.append(cell, _SHAPES.get(cell, ""))
        yield strip.append(f"  {end}", "dim")
        told = {
            "old": f"● served by {report['scenario']['site']}",
            "failed": "× failed",
            "new": f"◆ served by {standby(report)}",
        }
        yield Text(f"   {'   '.join(told[shape] for shape in shown.shapes)}", "dim")
    for one in _moments(report):
        style = {"fault": "red", "lost": "bold red", "back": "bold green"}.get(one.kind, "")
        yield Text(f"   {clock(one.at)}  {offset(one.seconds):>10}   {one.label}", style)


def _moments(report: Report) -> list[Milestone]:
    """The milestones, with the two moments between which there was no service."""
    customer = report["customer"]
    found = [one for one in milestones(report) if one.kind != "customer" or customer["first_good_after"] is None]
    edges = (
        ("lost", "service lost: the last acknowledged attempt", customer["last_good_before"]),
        ("back", "service back: the first acknowledged attempt", customer["first_good_after"]),
    )
    for kind, label, at in edges:
        seconds = since_fault(report, at)
        if at is not None and seconds is not None:
            found.append(Milestone(kind, label, seconds, at, label))
    return sorted(found, key=lambda one: one.seconds)


def _cost(report: Report) -> Iterator[Text]:
    rto, rpo, customer = report["rto"], report["rpo"], report["customer"]
    if not rehearsed(report):
        yield from _bounds(report)
        return
    yield from _title("What it cost", "measured as a customer")
    yield _against("customers without service", outage(report), "RTO", rto["objective_seconds"], rto["met"])
    yield Text(f"     {'from command until one was served':<36}{span(rto['command_to_served_seconds']):>13}")
    yield _against("work lost", span(rpo["measured_seconds"]), "RPO", rpo["objective_seconds"], rpo["met"])
    most = f"   at most {span(rpo['at_most_seconds'])}" if rpo["at_most_seconds"] is not None else ""
    yield Text(f"     {'estimated when the decision was made':<36}{span(rpo['estimated_seconds']):>13}{most}")
    yield _count("orders", rpo["orders_lost"], customer["orders_acknowledged"])
    yield _count("files", rpo["files_lost"], customer["files_acknowledged"])


def _bounds(report: Report) -> Iterator[Text]:
    rto, rpo = report["rto"], report["rpo"]
    yield from _title("What it cost", "upper bounds, and what was found at the old primary")
    yield _against("without service", outage(report), "RTO", rto["objective_seconds"], rto["met"])
    yield Text(f"     {'of it since the command':<36}{span(rto.get('procedure_seconds')):>13}")
    lost, most = span(rpo["estimated_seconds"]), span(rpo["at_most_seconds"])
    proven = lived_on(report)
    yield _against("work lost, at most", most if proven else lost, "RPO", rpo["objective_seconds"], rpo["met"])
    if proven:
        yield Text("     the old primary worked on out of sight")
    else:
        yield Text(f"     {'if the old primary worked on':<36}{most:>13}")
    yield _count("rows", rpo.get("rows_lost"), None)
    if gone := left_no_row(report):
        yield _count("transactions without a row", gone, None)
    if prepared := rpo.get("prepared_lost"):
        yield _count("prepared transactions", prepared, None)
    yield _count("files", rpo["files_lost"], None)


def _against(what: str, value: str, name: str, goal: float | None, met: bool | None) -> Text:
    mark, style = {True: ("✓ met", "green"), False: ("✗ missed", "bold red"), None: ("–", "yellow")}[met]
    return Text.assemble(
        f"   {what:<38}", (f"{value:>13}", "bold"), f"   {name} {objective(goal)}"[:14].ljust(14), (mark, style)
    )


def _count(what: str, lost: int | None, acknowledged: int | None) -> Text:
    of = "" if acknowledged is None else f"   of {acknowledged} acknowledged"
    if lost is None:
        return Text.assemble(f"   {what + ' lost':<38}", (f"{'not measured':>13}", "yellow"), of)
    return Text.assemble(f"   {what + ' lost':<38}", (f"{lost:>13}", "bold red" if lost else "bold green"), of)


def _done(report: Report) -> Iterator[Text]:
    fall = waterfall(report)
    procedure = report["procedure"]
    yield from _title("What was done", f"{procedure.get('procedure') or 'procedure'}, since the command")
    for bar in fall.bars if fall else ():
        if bar.turning:
            yield Text(f"   {' point of no return ':┄^{TITLE + 2}}".replace("┄", "-"), "dim")
        yield _step(bar)
        if bar.outcome == "incomplete" and bar.message:
            yield from _wrapped(bar.message)
    if fall is None:
        yield Text("   no step is known", "yellow")


def _step(bar: Bar) -> Text:
    mark, style = _MARKS.get(bar.outcome, ("?", "yellow"))
    title = bar.title if len(bar.title) <= TITLE else f"{bar.title[: TITLE - 1]}…"
    line = Text.assemble(
        "   ", (mark, style), f" {title:<{TITLE}} ", (f"{bar.site[:8]:<8}", "dim"), f"{bar.told:>9}  "
    )  # fmt: skip
    return line.append(bar_cells(bar), "green" if bar.standby else "blue")


def _checks(report: Report) -> Iterator[Text]:
    if rehearsed(report):
        yield from _title("Checks", "")
    for check in report["checks"]:
        mark = ("✓", "green") if check["passed"] else ("✗", "bold red")
        yield Text.assemble("   ", mark, f" {check['name']}")
        yield from _wrapped(check["told"])
    if not report["checks"] and rehearsed(report):
        yield Text("   none was made", "yellow")
    failed = {check["name"] for check in report["checks"] if not check["passed"]}
    others = [one for one in deviations(report) if one.what not in failed]
    if others:
        yield from _title("Deviations", listed([f"{len(others)} found"]))
    for one in others:
        yield from _wrapped(one.what, _SEVERITIES.get(one.severity, ("?", "yellow")))
        yield from _wrapped(one.told)


def _title(text: str, beside: str) -> Iterator[Text]:
    yield Text()
    yield Text.assemble((f" {text}", "bold"), (f"  {beside}" if beside else "", "dim"))


def _wrapped(text: str, mark: tuple[str, str] | None = None) -> Iterator[Text]:
    for place, line in enumerate(textwrap.wrap(text, WIDTH - 7)):
        if mark and place == 0:
            yield Text.assemble("   ", mark, f" {line}")
        else:
            yield Text(f"     {line}", "" if mark else "dim")
