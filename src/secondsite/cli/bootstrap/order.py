"""The order of an apply over both hosts: what waits for what, and what runs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from secondsite.cli.bootstrap import look, preflight
from secondsite.cli.bootstrap.connected import each
from secondsite.cli.bootstrap.look import HostLook
from secondsite.cli.bootstrap.request import Kind, Phase, Request
from secondsite.cli.bootstrap.roles import primary_of
from secondsite.cli.bootstrap.verify import Check, check_from_json
from secondsite.database import facts as database_facts
from secondsite.errors import HalfwayError, SecondsiteError
from secondsite.events import ChangeDone, ChangePlanned, Emit, Event
from secondsite.remote.session import Session
from secondsite.spec import Spec

LOOK_SECONDS = 120.0
PLAN_SECONDS = 300.0
PHASE_SECONDS = 3600.0
SEED_SECONDS = 7 * 86400.0  # a copy takes as long as it takes; a dead link is noticed by keepalive long before
SETTLE_SECONDS = 30.0
AFTER_DATABASE = (Phase.FILES, Phase.AGENT, Phase.GUARD, Phase.POOLER, Phase.UNITS)


@dataclass(slots=True)
class Order:
    """One plan or apply: the sessions, what was seen, and what was changed so far."""

    spec: Spec
    config: str
    sessions: Mapping[str, Session]
    emit: Emit
    replace_standby: str | None = None
    rejoined: bool = False  # the replaced standby streams again: what was opened for it is closed
    seen: dict[str, HostLook] = field(default_factory=dict)
    primary: str = ""
    changes: list[ChangePlanned] = field(default_factory=list)
    done: list[ChangeDone] = field(default_factory=list)

    @property
    def standby(self) -> str:
        return self.spec.peer_of(self.primary)

    async def observe(self) -> None:
        """See both hosts and who is primary. Raises SecondsiteError or a group of them where apply would fail."""
        await self._look(self.spec.site_names)
        self.primary = primary_of(
            self.spec, {site: self.seen[site].database for site in self.spec.site_names}, self.replace_standby
        )
        found = list(preflight.problems(self.spec, self.seen, self.primary))
        if len(found) == 1:
            raise found[0]
        if found:
            raise ExceptionGroup("the hosts are not ready", found)

    async def plan(self) -> Sequence[ChangePlanned]:
        """Every change that apply would make, touching nothing; in the order of the sites and phases."""
        found: dict[str, list[ChangePlanned]] = {site: [] for site in self.spec.site_names}

        async def one(site: str) -> None:
            def note(event: Event) -> None:
                if isinstance(event, ChangePlanned):
                    found[site].append(event)
                else:
                    self.emit(event)

            for phase in Phase:
                await self._converge(site, phase, note, dry_run=True)

        await each(self.spec.site_names, one)
        self.changes = [change for site in self.spec.site_names for change in without_repeats(found[site])]
        return self.changes

    async def apply(self, *, allowed: Sequence[str] | None) -> None:
        """Make the changes. allowed: resources whose disruption was agreed to; None means all.

        Raises what the hosts raise; after the first change as HalfwayError, with the command that goes on.
        """
        try:
            await self._both(Phase.PREPARE, allowed)
            await self._look(self.spec.site_names)
            await self._both(Phase.TUNNEL, allowed)
            await self._one(self.primary, Phase.DATABASE, allowed)
            await self._look((self.primary,))
            await each(self.spec.site_names, lambda site: self._rest(site, allowed))
            if self.replace_standby is not None:
                self.rejoined = True
                await self._one(self.primary, Phase.DATABASE, allowed)
        except SecondsiteError as error:
            raise self._halfway(error) from error
        except ExceptionGroup as group:
            raise ExceptionGroup(group.message, [self._halfway(error) for error in group.exceptions]) from group

    async def verify(self) -> list[Check]:
        """See everything at work; a check that fails is asked again for a while before it counts."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while True:
            checks = await self._checks()
            if all(check.ok for check in checks) or loop.time() > deadline:
                return checks
            await asyncio.sleep(0.5)

    async def _checks(self) -> list[Check]:
        async def one(site: str) -> list[Check]:
            request = self._request(site, Kind.VERIFY)
            told = await self.sessions[site].ask(request.as_json(), self.emit, timeout=LOOK_SECONDS, step="verify")
            return [check_from_json(check) for check in told["checks"]]

        found = await each(self.spec.site_names, one)
        return [check for site in self.spec.site_names for check in found[site]]

    async def _rest(self, site: str, allowed: Sequence[str] | None) -> None:
        phases = AFTER_DATABASE if site == self.primary else (Phase.DATABASE, *AFTER_DATABASE)
        for phase in phases:
            await self._one(site, phase, allowed)

    async def _both(self, phase: Phase, allowed: Sequence[str] | None) -> None:
        await each(self.spec.site_names, lambda site: self._one(site, phase, allowed))

    async def _one(self, site: str, phase: Phase, allowed: Sequence[str] | None) -> None:
        def note(event: Event) -> None:
            if isinstance(event, ChangeDone):
                self.done.append(event)
            if not isinstance(event, ChangePlanned):  # the plan has shown it
                self.emit(event)

        names = None if allowed is None else tuple(allowed)
        await self._converge(site, phase, note, dry_run=False, allowed=names)

    async def _converge(
        self, site: str, phase: Phase, emit: Emit, *, dry_run: bool, allowed: tuple[str, ...] | None = None
    ) -> None:
        request = replace(self._request(site, Kind.CONVERGE), phase=phase, dry_run=dry_run, allowed=allowed)
        limit = PLAN_SECONDS if dry_run else SEED_SECONDS if phase is Phase.DATABASE else PHASE_SECONDS
        try:
            await self.sessions[site].ask(request.as_json(), emit, timeout=limit, step=phase.value)
        except SecondsiteError as error:
            raise with_flag(error, site, self.primary) from error

    def _request(self, site: str, kind: Kind) -> Request:
        peer = self.seen.get(self.spec.peer_of(site))
        primary = self.seen.get(self.primary)
        return Request(
            request=kind,
            site=site,
            config=self.config,
            role="primary" if site == self.primary else "standby",
            peer_key=peer.public_key if peer else None,
            primary=database_facts.to_json(primary.database) if primary else None,
            files_reached=primary.files_reached if primary else None,
            replace=self.replace_standby is not None and not self.rejoined,
        )

    async def _look(self, sites: Sequence[str]) -> None:
        async def one(site: str) -> HostLook:
            request = self._request(site, Kind.OBSERVE)
            told = await self.sessions[site].ask(request.as_json(), self.emit, timeout=LOOK_SECONDS, step="observe")
            return look.from_json(told)

        self.seen |= await each(sites, one)

    def _halfway(self, error: Exception) -> Exception:
        """After the first change a failure is half-way: the same command looks again and goes on."""
        if not isinstance(error, SecondsiteError) or not self.done:
            return error
        count = {site: sum(1 for change in self.done if change.site == site) for site in self.spec.site_names}
        made = ", ".join(f"{count[site]} at {site}" for site in self.spec.site_names)
        hint = f"{error.hint}; then: secondsite apply" if error.hint else "secondsite apply"
        return HalfwayError(
            f"{error.message} (changes made before it: {made}; the service still runs at {self.primary})",
            slug=error.slug,
            host=error.host,
            step=error.step,
            hint=f"{hint}   (it looks first and goes on from here)",
        )


def with_flag(error: SecondsiteError, site: str, primary: str) -> SecondsiteError:
    """A host does not know how it was called; here its refusal gets the exact flag that answers it."""
    if error.slug == "foreign-data-directory":
        error.hint = f"secondsite apply --replace-standby {site}   (keeps what only it has, and gives up the rest)"
    return error


def without_repeats(changes: Sequence[ChangePlanned]) -> list[ChangePlanned]:
    """Packages that an earlier phase installs are not announced again by a later one. One site's changes; pure."""
    told: set[str] = set()
    kept = []
    for change in changes:
        rows = set(change.diff.splitlines()) if change.resource == "packages" else set()
        if rows and rows <= told:
            continue
        told |= rows
        kept.append(change)
    return kept
