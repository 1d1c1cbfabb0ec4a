"""The application's units, all with one call of systemctl."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from secondsite.objectives.snapshot import UnitState
from secondsite.process import run

LOOK_SECONDS = 5.0
TRUSTED_SECONDS = 60.0
MISSING = "missing"
CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"))


class Units:
    """Looks again at once where a unit's control group came, went or was renewed, else only now and then.

    systemd makes a control group when a unit starts and removes it when it ends, so asking the kernel for it is
    enough to notice; starting systemctl each few seconds would cost more than all the rest of the agent.
    """

    def __init__(self, units: Sequence[str]) -> None:
        self._units = units
        self._marks: tuple[int, ...] | None = None
        self._looked_at = 0.0
        self._seen: tuple[UnitState, ...] = ()

    async def look(self) -> tuple[UnitState, ...]:
        """Each unit. Raises SecondsiteError."""
        marks, now = tuple(_mark(unit) for unit in self._units), time.monotonic()
        settled = all(unit.active in ("active", "inactive", MISSING) for unit in self._seen)
        if marks != self._marks or not settled or now - self._looked_at > TRUSTED_SECONDS:
            self._seen = await look_at(self._units)
            self._marks, self._looked_at = marks, now
        return self._seen


def _mark(unit: str) -> int:
    """The inode of the unit's control group (either hierarchy); 0 where it has none."""
    for root in CGROUPS:
        try:
            return (root / "system.slice" / unit).stat().st_ino
        except OSError:
            continue
    return 0


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
