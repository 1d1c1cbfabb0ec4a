"""The application's units: running where the service is primary, stopped where it stands by."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.converge import units
from secondsite.converge.resource import Change
from secondsite.errors import FinalError
from secondsite.events import Emit


@dataclass(frozen=True, slots=True)
class Application:
    """One unit of the service. It is enabled at both sites: the guard decides at boot whether it may start."""

    unit: str
    primary: bool

    @property
    def name(self) -> str:
        return f"application {self.unit}"

    @property
    def _wanted(self) -> units.Unit:
        stop = "the application stops here; it runs at the primary site"
        return units.Unit(self.unit, enabled=True, running=self.primary, disrupts=None if self.primary else stop)

    async def plan(self) -> Change | None:
        """What differs; a unit that is missing at the standby is a finding of readiness, not a change.

        Raises FinalError (``unit-missing``) where the primary lacks it.
        """
        now = await units.look(self.unit)
        if now.load != "not-found":
            if now.enabled in ("static", "generated", "transient", "indirect"):
                return await units.Unit(self.unit, enabled=None, running=self.primary).plan()
            return await self._wanted.plan()
        if self.primary:
            raise FinalError(
                f"the file names {self.unit}, and systemd on the primary does not know it",
                slug="unit-missing",
                step=self.name,
                hint="correct service.units in the file, or install the application's unit",
            )
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Enable, start or stop it."""
        await self._wanted.apply(change, emit)
