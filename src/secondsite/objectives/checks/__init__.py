"""Every named check, by area, most telling first."""

from __future__ import annotations

from secondsite.objectives.checks import (
    commits,
    condition,
    database,
    delayed,
    dns,
    fencing,
    files,
    logical,
    objectives,
    pooler,
    procedures,
    sites,
    slots,
    tunnel,
    verified,
    zfs,
)
from secondsite.objectives.finding import Check

CHECKS: tuple[Check, ...] = tuple(
    check
    for area in (
        sites,
        procedures,
        fencing,
        database,
        commits,
        slots,
        delayed,
        pooler,
        condition,
        logical,
        files,
        zfs,
        objectives,
        tunnel,
        dns,
        verified,
    )
    for check in area.registry.checks
)
