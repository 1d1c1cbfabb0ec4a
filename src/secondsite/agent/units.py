"""The application's units, all with one call of systemctl."""

from __future__ import annotations

from collections.abc import Sequence

from secondsite.objectives.snapshot import UnitState
from secondsite.process import run

LOOK_SECONDS = 5.0
MISSING = "missing"


async def look_at(units: Sequence[str]) -> tuple[UnitState, ...]:
    """Each unit as systemd shows it; active is "missing" where there is none. Raises SecondsiteError."""
    if not units:
        return ()
    wanted = "--property=Id,LoadState,ActiveState,SubState"
    done = await run(["systemctl", "show", wanted, *units], timeout=LOOK_SECONDS, step="look at the units")
    return parse(done.stdout, units)


def parse(text: str, units: Sequence[str]) -> tuple[UnitState, ...]:
    """From the blocks of ``systemctl show``, one a unit in the order asked for."""
    blocks = [dict(row.split("=", 1) for row in block.splitlines() if "=" in row) for block in text.split("\n\n")]
    return tuple(
        UnitState(unit, _active(told), told.get("SubState", "")) for unit, told in zip(units, blocks, strict=False)
    )


def _active(told: dict[str, str]) -> str:
    return MISSING if told.get("LoadState") == "not-found" else told.get("ActiveState", "unknown")
