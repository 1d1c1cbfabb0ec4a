"""Things that must be named once, and folders that must not hold one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from secondsite.spec.draft import Draft
from secondsite.spec.faults import Loc, Problem
from secondsite.spec.folders import CLUSTERS, inside, overlap


def names_once(draft: Draft) -> Iterator[Problem]:
    named: dict[Loc, str] = {("files", number, "name"): files.name for number, files in draft.files.items()}
    yield from _twice(named, "file set")


def units_once(draft: Draft) -> Iterator[Problem]:
    units = draft.service.units if draft.service else ()
    named: dict[Loc, str] = {("service", "units", number): unit for number, unit in enumerate(units)}
    yield from _twice(named, "unit")


def records_once(draft: Draft) -> Iterator[Problem]:
    named: dict[Loc, str] = {
        ("dns", number, "name"): f"{record.name} in {record.zone.lower().rstrip('.')}"
        for number, record in draft.dns.items()
    }
    yield from _twice(named, "DNS record")


def _twice(named: Mapping[Loc, str], what: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for loc, name in named.items():
        if name.lower() in seen:
            yield Problem(loc, f"{what} {name} stands twice", "leave one out, or rename it")
        seen.add(name.lower())


def records_relative(draft: Draft) -> Iterator[Problem]:
    for number, record in draft.dns.items():
        zone, name = record.zone.lower().rstrip("."), record.name.lower()
        if name == zone or name.endswith(f".{zone}"):
            short = name.removesuffix(zone).rstrip(".") or "@"
            yield Problem(
                ("dns", number, "name"),
                f'"{record.name}" already holds its zone, so it would become {record.name}.{zone}',
                f'did you mean "{short}"?',
            )


def database_apart(draft: Draft) -> Iterator[Problem]:
    """A database copied as files is broken; PostgreSQL replicates itself."""
    cluster = draft.database.cluster if draft.database else "VERSION/NAME"
    for number, files in draft.files.items():
        if inside(files.path, CLUSTERS):
            yield Problem(
                ("files", number, "path"),
                f"{files.path} is inside {CLUSTERS}, where PostgreSQL keeps its data ({cluster})",
                "leave it out: the database is replicated by itself",
            )
        elif inside(CLUSTERS, files.path):
            yield Problem(
                ("files", number, "path"),
                f"{files.path} holds {CLUSTERS}/{cluster}, the data of PostgreSQL",
                "name the folders beside it one by one",
            )


def sets_apart(draft: Draft) -> Iterator[Problem]:
    for (_, one), (number, other) in combinations(sorted(draft.files.items()), 2):
        if overlap(one.path, other.path):
            how = "is the same folder as" if one.path == other.path else "overlaps"
            yield Problem(
                ("files", number, "path"),
                f"{other.path} {how} {one.path} of file set {one.name}",
                "a file belongs to one set only",
            )
