"""Every named check, by area, most telling first."""

from __future__ import annotations

from secondsite.objectives.checks import database, dns, files, objectives, sites, slots, survey, tunnel
from secondsite.objectives.finding import Check

CHECKS: tuple[Check, ...] = tuple(
    check for area in (sites, database, slots, survey, files, objectives, tunnel, dns) for check in area.registry.checks
)
