"""What the customer felt, as a picture: one mark an attempt, and the moments that explain them. Pure geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondsite.evidence.axis import Axis, Tick
from secondsite.evidence.milestones import Milestone, milestones, since_fault
from secondsite.evidence.report import Felt, Report
from secondsite.evidence.words import offset, span

WIDTH, LEFT, RIGHT = 960.0, 62.0, 948.0
ROW, LANE, LETTER = 18.0, 34.0, 7.9  # LETTER: as wide as in the widest of usual fonts
APART = 8.0  # of the marks that would lie closer to another of their shape only one is drawn
_PLURALS = {"order": "orders", "file": "files", "visit": "visits"}
_RANK = {kind: place for place, kind in enumerate(_PLURALS)}


@dataclass(frozen=True, slots=True)
class Flag:
    """A moment: its line begins at ``y``, its text stands beside it."""

    kind: str
    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Lane:
    """Attempts of one kind. marks: shape (old, new, failed) to the path that draws all of them."""

    label: str
    y: float
    marks: dict[str, str]


@dataclass(frozen=True, slots=True)
class Gap:
    """The time without service."""

    left: float
    right: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything the template draws. top: where the lanes begin, bottom: where the axis is."""

    height: float
    top: float
    bottom: float
    ticks: list[Tick]
    flags: list[Flag]
    lanes: list[Lane]
    gap: Gap | None
    window: tuple[float, float]
    shapes: list[str]


def chart(report: Report) -> Chart | None:
    """The picture around the outage; None where no customer was at work."""
    series = report["customer"]["series"]
    if not series:
        return None
    lost, back = _outage(report)
    axis = _axis(series, milestones(report), lost, back)
    flags = _flags(axis, milestones(report))
    top = max((flag.y for flag in flags), default=0.0) + ROW
    kinds = sorted({one["kind"] for one in series}, key=lambda kind: (_RANK.get(kind, len(_RANK)), kind))
    gap = None
    if lost is not None and back is not None:
        gap = Gap(axis.x(lost), axis.x(back), f"{span(report['customer']['outage_seconds'])} without service")
        top += 22
    lanes = [_lane(report, axis, kind, top + LANE * (place + 0.5)) for place, kind in enumerate(kinds)]
    bottom = top + LANE * len(lanes)
    shapes = [shape for shape in ("old", "failed", "new") if any(shape in lane.marks for lane in lanes)]
    return Chart(bottom + 26, top, bottom, axis.ticks(), flags, lanes, gap, (axis.start, axis.end), shapes)


def shape_of(report: Report, attempt: Felt) -> str:
    """failed, old (answered where the fault was) or new (answered by another site)."""
    if not attempt["ok"]:
        return "failed"
    broken = report["scope"]["sites"].get(report["scenario"]["site"])
    elsewhere = broken is not None and attempt["site"] is not None and attempt["site"] != broken["public"]
    return "new" if elsewhere else "old"


def _outage(report: Report) -> tuple[float | None, float | None]:
    customer = report["customer"]
    return since_fault(report, customer["last_good_before"]), since_fault(report, customer["first_good_after"])


def _axis(series: Sequence[Felt], marked: Sequence[Milestone], lost: float | None, back: float | None) -> Axis:
    """From before the first to behind the last moment of interest, as far as there were customers."""
    points = [one.seconds for one in marked] + [at for at in (lost, back) if at is not None]
    times = [one["t"] for one in series]
    if not points:
        return Axis(min(times), max(times), LEFT, RIGHT)
    room = max(1.0, 0.2 * (max(points) - min(points)))
    start = max(min(points) - room, min([*times, *points]))
    end = min(max(points) + room, max([*times, *points]))
    return Axis(start, end, LEFT, RIGHT)


def _flags(axis: Axis, marked: Sequence[Milestone]) -> list[Flag]:
    texts = [one.label if one.kind == "fault" else f"{one.label} {_after(one.seconds)}" for one in marked]
    return staggered([(one.kind, axis.x(one.seconds), text) for one, text in zip(marked, texts, strict=True)])


def _after(seconds: float) -> str:
    return offset(seconds, 2) if abs(seconds) < 60 else f"{'+' if seconds > 0 else '−'}{span(abs(seconds))}"


def staggered(named: Sequence[tuple[str, float, str]]) -> list[Flag]:
    """Pure: (kind, x, text) from left to right, each text below those it would touch, so that no line crosses a text
    and no two texts meet. A text that would leave the picture stands left of its line."""
    flags: list[Flag] = []
    boxes: list[tuple[float, float, int]] = []
    for kind, x, text in named:
        wide = len(text) * LETTER + 10
        turned = x + wide > WIDTH
        begin, end = (x - wide, x) if turned else (x, x + wide)
        row = 1 + max((below for left, right, below in boxes if begin <= right and left <= end), default=-1)
        boxes.append((begin, end, row))
        flags.append(Flag(kind, x, 12 + row * ROW, text, "end" if turned else "start"))
    return flags


def _lane(report: Report, axis: Axis, kind: str, y: float) -> Lane:
    places: dict[str, list[float]] = {}
    for one in report["customer"]["series"]:
        if one["kind"] == kind and axis.start <= one["t"] <= axis.end:
            drawn = places.setdefault(shape_of(report, one), [])
            if not drawn or axis.x(one["t"]) - drawn[-1] >= APART:
                drawn.append(axis.x(one["t"]))
    marks = {shape: "".join(_mark(shape, x, y) for x in xs) for shape, xs in places.items()}
    return Lane(_PLURALS.get(kind, kind), y, marks)


def _mark(shape: str, x: float, y: float) -> str:
    """A dot, a diamond, or a cross: they differ without colour."""
    match shape:
        case "old":
            return f"M{x:g} {y:g}m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z"
        case "new":
            return f"M{x:g} {y - 5:g}l5 5l-5 5l-5-5z"
        case _:
            return f"M{x - 3.8:g} {y - 3.8:g}l7.6 7.6m0-7.6l-7.6 7.6"
