"""Parameters that several commands share, so that they are named, explained and checked the same everywhere.

Use them as types of keyword-only parameters: ``async def run(*, config: Config = None, json: Json = False) -> int``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secondsite.errors import UsageError
from secondsite.spec import paths

HERE = Path("secondsite.toml")

Config = Annotated[
    Path | None,
    Parameter(
        name="--config",
        help="The file; else ./secondsite.toml, else /etc/secondsite/secondsite.toml.",
        show_default=False,
    ),
]
Json = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print one JSON document on standard output.")
]
Yes = Annotated[
    bool, Parameter(name="--yes", negative="", show_default=False, help="Answer yes to every question that is asked.")
]
DryRun = Annotated[
    bool,
    Parameter(name="--dry-run", negative="", show_default=False, help="Show what would happen and change nothing."),
]


def needs_root(denied: PermissionError) -> UsageError:
    """The error for a person who is not let into what root keeps on a host."""
    return UsageError(
        f"{denied.filename} is only for root", slug="needs-root", hint="run it as root: sudo secondsite ..."
    )


def find_config(config: Path | None) -> Path:
    """The file that is meant. Raises UsageError where none is there, naming every place that was tried."""
    candidates = (config,) if config is not None else (HERE, paths.CONFIG)
    try:
        for candidate in candidates:
            if candidate.is_file():
                return candidate
    except PermissionError as denied:
        raise needs_root(denied) from denied
    if config is not None:
        raise UsageError(
            f"{config} does not exist or is no file",
            slug="no-config",
            hint="name an existing file with --config, or write one with `secondsite init`",
        )
    raise UsageError(
        f"no {HERE} in this folder and no {paths.CONFIG}",
        slug="no-config",
        hint="name the file with --config FILE, or write one with `secondsite init`",
    )
