"""The last look: what was reached is still so when the procedure ends."""

from __future__ import annotations

from secondsite.database.bounded import apart
from secondsite.database.observe import observe
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.recovery import application
from secondsite.recovery.acts.context import Act
from secondsite.recovery.step import Details


class Serving(Act):
    """A database or an application that has ended since must not hide behind what is called completed."""

    name = "serving"
    title = "See that this site still serves"
    follows: tuple[str, ...] = ("checkpoint",)
    only_looks = True

    async def apply(self, emit: Emit) -> Details:
        cluster, units = self._context.cluster, self._context.spec.service.units
        database = await apart(observe, cluster)
        if not database.writable:
            why = database.reason or "it is down"
            raise FinalError(
                f"users were served from {self.site}, and its database has ended since: {why}",
                slug="ended-since",
                hint=f"systemctl start {cluster.unit}; if it does not start, journalctl -u {cluster.unit} -n 50; then "
                f"{self._context.go_on}",
            )
        if not await application.active(units):
            raise FinalError(
                f"users were served from {self.site}, and the application has ended since",
                slug="ended-since",
                hint=f"systemctl status {' '.join(units)}; then {self._context.go_on}",
            )
        return {}
