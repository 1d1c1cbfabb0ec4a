"""Send the users here, and serve them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from secondsite.database.fence import postmaster_runs
from secondsite.dns.state import RecordState
from secondsite.dns.update import swap
from secondsite.dns.verify import observe
from secondsite.errors import FinalError, RetryableError
from secondsite.events import Emit
from secondsite.recovery import application
from secondsite.recovery.acts.context import Act
from secondsite.recovery.step import Details
from secondsite.spec import DnsRecord

CONVERGE_SECONDS = 30.0
POLL_SECONDS = 0.1
HEALTH_SECONDS = 5.0


class Redirect(Act):
    """Every record points here, at every authoritative server."""

    name = "dns"
    title = "Point the DNS here"
    needs = ("promote",)

    async def holds(self) -> Details | None:
        states = await asyncio.gather(*(self._look(record) for record in self._context.spec.dns))
        if any(state.points_to != self.site for state in states):
            return None
        return {"records": [asdict(state) for state in states]}

    async def apply(self, emit: Emit) -> Details:
        await asyncio.gather(*(self._one(record) for record in self._context.spec.dns))
        return {}

    async def verify(self) -> Details:
        states = await asyncio.gather(*(self._converged(record) for record in self._context.spec.dns))
        return {"records": [asdict(state) for state in states]}

    async def _one(self, record: DnsRecord) -> None:
        spec = self._context.spec
        old, new = spec.sites[self._context.peer.site].public, spec.sites[self.site].public
        try:
            await swap(record, [str(old)], new)
        except FinalError as refusal:
            if refusal.slug != "dns-changed-by-others":
                raise
            state = await self._look(record)
            if current(state) == (str(new),):
                return  # it was our own update whose answer was lost
            if not self._context.overwrite_dns:
                refusal.hint = f"look at the record, then: {self._context.go_on} --overwrite-dns"
                raise
            await swap(record, current(state), new)

    async def _converged(self, record: DnsRecord) -> RecordState:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONVERGE_SECONDS
        while (state := await self._look(record)).points_to != self.site:
            if loop.time() > deadline:
                raise RetryableError(
                    f"{record.name}.{record.zone} was changed, but not every server shows it: {told(state)}",
                    slug="dns-not-converged",
                    hint=f"look at the zone transfer to the other servers, then: {self._context.go_on}",
                )
            await asyncio.sleep(POLL_SECONDS)
        return state

    async def _look(self, record: DnsRecord) -> RecordState:
        return await observe(record, {name: site.public for name, site in self._context.spec.sites.items()})


class Application(Act):
    """The application runs here and says that it is healthy."""

    name = "application"
    title = "Start the application"
    needs = ("promote",)
    timeout_seconds = 180.0

    async def holds(self) -> Details | None:
        service = self._context.spec.service
        if not await application.active(service.units):
            return None
        if service.health is None:
            return {}
        return {} if await asyncio.to_thread(application.probe, service.health, HEALTH_SECONDS) is None else None

    async def apply(self, emit: Emit) -> Details:
        await application.start(self._context.spec.service.units)
        return {"units": list(self._context.spec.service.units)}

    async def verify(self) -> Details:
        url = self._context.spec.service.health
        if url is None:
            running = await application.active(self._context.spec.service.units)
            return {"healthy": None, "units_active": running}
        waited = await application.healthy(url, within_seconds=60, or_end=self._refuse_without_database)
        return {"healthy": True, "waited_seconds": round(waited, 3)}

    def _refuse_without_database(self) -> None:
        """An application whose database is down never becomes healthy, and each second of waiting is an outage."""
        cluster = self._context.cluster
        if not postmaster_runs(cluster):
            raise FinalError(
                f"the database of {self.site} has ended since it was promoted; the application cannot become healthy",
                slug="ended-since",
                hint=f"systemctl start {cluster.unit}; if it does not start, journalctl -u {cluster.unit} -n 50; then "
                f"{self._context.go_on}",
            )


def current(state: RecordState) -> tuple[str, ...]:
    """Pure: the addresses that the server which takes updates gives now; none where it does not answer."""
    return state.answers[0].addresses if state.answers else ()


def told(state: RecordState) -> str:
    """Pure: what each server says, for a message."""
    return "; ".join(
        f"{answer.server}: {answer.problem or ', '.join(answer.addresses) or 'nothing'}" for answer in state.answers
    )
