"""What of a file is sound although the rest may not be, so that cross-checks need not wait for every repair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from secondsite.spec.model import (
    Database,
    DnsRecord,
    FileSet,
    GameDay,
    Objectives,
    Residency,
    Section,
    Service,
    Site,
    Spec,
    Tunnel,
)

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Draft:
    """Sections that are valid by themselves; None or absent where one is not. Lists keep their positions."""

    site_names: tuple[str, ...] | None = None
    service: Service | None = None
    objectives: Objectives | None = None
    sites: Mapping[str, Site] = field(default_factory=dict)
    tunnel: Tunnel | None = None
    database: Database | None = None
    files: Mapping[int, FileSet] = field(default_factory=dict)
    dns: Mapping[int, DnsRecord] = field(default_factory=dict)
    gameday: GameDay | None = None
    residency: Residency | None = None


def draft_of(spec: Spec) -> Draft:
    """Everything of a sound file."""
    return Draft(
        site_names=tuple(spec.sites),
        service=spec.service,
        objectives=spec.objectives,
        sites=spec.sites,
        tunnel=spec.tunnel,
        database=spec.database,
        files=dict(enumerate(spec.files)),
        dns=dict(enumerate(spec.dns)),
        gameday=spec.gameday,
        residency=spec.residency,
    )


def salvage(data: Mapping[str, Any]) -> Draft:
    """What can be used of raw data, each section judged alone."""
    sites = data.get("sites")
    sites = sites if isinstance(sites, dict) else None
    return Draft(
        site_names=tuple(sites) if sites is not None else None,
        service=_sound(Service, data.get("service")),
        objectives=_sound(Objectives, data.get("objectives")),
        sites=_all_sound(Site, (sites or {}).items()),
        tunnel=_sound(Tunnel, data.get("tunnel")),
        database=_sound(Database, data.get("database")),
        files=_all_sound(FileSet, _items(data.get("files"))),
        dns=_all_sound(DnsRecord, _items(data.get("dns"))),
        gameday=_sound(GameDay, data.get("gameday", {})),
        residency=_sound(Residency, data.get("residency", {})),
    )


K = TypeVar("K")


def _items(raw: object) -> Iterable[tuple[int, object]]:
    return enumerate(raw) if isinstance(raw, list) else ()


def _all_sound(kind: type[S], raw: Iterable[tuple[K, object]]) -> dict[K, S]:
    judged = {key: _sound(kind, value) for key, value in raw}
    return {key: section for key, section in judged.items() if section is not None}


def _sound(kind: type[S], raw: object) -> S | None:
    try:
        return kind.model_validate(raw)
    except ValidationError:
        return None
