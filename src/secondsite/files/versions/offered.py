"""Where and under which name files of a version are offered to the other site; what both sites have to know."""

from __future__ import annotations

from pathlib import Path

from secondsite.files.versions.place import OFFERED, Located, home


def module(name: str) -> str:
    """The daemon's name of what is offered of a set; no set can have it, for theirs have no full stop."""
    return f"{name}.restored"


def folder(fileset: Located) -> Path:
    """Where it lies at the site that offers it."""
    return home(fileset) / OFFERED
