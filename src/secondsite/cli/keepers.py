"""The sites that keep versions of a set: which of them is asked, and what a silent one means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondsite.cli.carry_out import carry_out
from secondsite.cli.outcome import raise_error_of
from secondsite.cli.this_host import site_here
from secondsite.errors import SecondsiteError, UsageError
from secondsite.events import Emit, Note
from secondsite.spec import Spec


class Keepers:
    """Asks the sites about versions of one set. silent: those that could not be asked, and why."""

    def __init__(self, spec: Spec, path: Path, name: str, site: str | None) -> None:
        """Raises UsageError (``no-such-set``, ``no-such-site``)."""
        if name not in {one.name for one in spec.files}:
            known = ", ".join(one.name for one in spec.files) or "none"
            raise UsageError(
                f"there is no file set {name} (sets: {known})", slug="no-such-set", hint="secondsite status"
            )
        if site is not None and site not in spec.sites:
            raise UsageError(f"there is no site {site}", slug="no-such-site", hint=f"one of {', '.join(spec.sites)}")
        self.path = path
        self.silent: dict[str, str] = {}
        self._spec = spec
        self._name = name
        self._here = site_here()
        self._sites = order(spec.site_names, site, self._here)

    async def ask(
        self, kind: str, arguments: Mapping[str, Any], emit: Emit, *, but: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """What each site that has versions answers; raises the first error where none does. A host that has some itself
        asks nobody else: often it cannot, and the other one may be gone. but: a site that is not enough."""
        told: dict[str, dict[str, Any]] = {}
        problem: SecondsiteError | None = None
        for site in self._sites:
            try:
                told[site] = await self.at(site, kind, arguments, emit)
                if site == self._here != but and told[site].get("versions"):
                    break
            except SecondsiteError as error:
                if error.slug == "interrupted":
                    raise
                problem = problem or error
                self.silent[site] = error.message
        some = {site: one for site, one in told.items() if one.get("versions", True)}
        if not told and problem is not None:
            raise problem
        return some or told

    async def ask_one(
        self, kind: str, arguments: Mapping[str, Any], emit: Emit, *, but: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        """The answer of the first site that can; the sites are asked first who has versions, so that an empty one is
        not taken at its word. but: a site that is asked only where no other has any. Raises its error."""
        if len(self._sites) == 1:
            return self._sites[0], await self.at(self._sites[0], kind, arguments, emit)
        having = await self.ask("versions-list", {}, emit, but=but)
        having = {site: one for site, one in having.items() if site != but and one["versions"]} or having
        newest = max(having, key=lambda site: max((one["as_of"] for one in having[site]["versions"]), default=""))
        return newest, await self.at(newest, kind, arguments, emit)

    async def at(self, site: str, kind: str, arguments: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        """Carried out at one site. Raises SecondsiteError."""
        asked = {"set": self._name, **arguments}
        result = await carry_out(lambda: self._spec, kind, asked, at=site, emit=emit)
        raise_error_of(result)
        return dict(result.document)

    async def withdrawn(self, site: str, offer: str, emit: Emit) -> None:
        """What was offered is removed; where that fails it goes by itself with an offer of another day."""
        try:
            await self.at(site, "versions-withdraw", {"offer": offer}, emit)
        except SecondsiteError as failed:
            emit(Note(f"what was offered could not be removed yet: {failed.message}", site, "warning"))


def order(sites: tuple[str, ...], wanted: str | None, here: str | None) -> tuple[str, ...]:
    """Pure: who is asked. A host asks itself first: it may be all that is left."""
    if wanted is not None:
        return (wanted,)
    return tuple(sorted(sites, key=lambda site: site != here))
