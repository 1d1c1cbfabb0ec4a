"""What this host remembers of a set's versions between two looks: one small file, and what status tells of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.files.state import VersionsState
from secondsite.files.versions.retention import overdue
from secondsite.spec import FileSet
from secondsite.spec.retention import parse


@dataclass(frozen=True, slots=True)
class Looked:
    """Times are unix seconds. looked_at: the last time a version was made, or nothing was found to have changed.
    tried_at: the last attempt. problem: why that failed; None where it did not. count: versions that are kept.
    newest_at: the moment whose files the newest holds."""

    looked_at: float | None = None
    tried_at: float | None = None
    problem: str | None = None
    count: int = 0
    newest_at: float | None = None


def load(name: str, store: Path) -> Looked:
    """What is remembered; nothing where it cannot be read: then one looks again."""
    try:
        body = json.loads((store / f"{name}.versions").read_text())
        return Looked(**{key: value for key, value in body.items() if key in Looked.__slots__})
    except (OSError, ValueError, TypeError, AttributeError):
        return Looked()


def save(name: str, looked: Looked, store: Path) -> None:
    """Raises OSError."""
    atomically(store / f"{name}.versions", json.dumps(asdict(looked)).encode(), mode=0o600)


def versions_of(fileset: FileSet, store: Path, now: float) -> VersionsState | None:
    """For status; None where no versions are to be kept. now: unix seconds."""
    if fileset.versions is None:
        return None
    looked = load(fileset.name, store)
    late = overdue(parse(fileset.versions), looked.looked_at, now)
    return VersionsState(looked.count, looked.newest_at, late, looked.problem)
