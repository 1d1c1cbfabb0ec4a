"""Both hosts looked at over SSH, side by side: one that burns does not keep us from seeing the other."""

from __future__ import annotations

import asyncio
import json
import shlex
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from secondsite.agent.judge import status_from
from secondsite.clock import SystemClock
from secondsite.errors import FinalError, SecondsiteError
from secondsite.remote.host import Host, reach
from secondsite.remote.target import target_of
from secondsite.spec import Spec, paths

NOTHING_THERE = "its host answers, but secondsite is not installed there: secondsite apply"
CONNECT_SECONDS = 3.0
LOOK_SECONDS = 8.0
NOT_THERE = 127  # what a shell ends with where there is no such program
COMMAND = f"exec {shlex.quote(str(paths.COMMAND))} state --json"


class Hosts:
    """Both hosts, their connections kept from one look to the next. Use as ``async with``."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._hosts: dict[str, tuple[Host, AsyncExitStack]] = {}

    async def __aenter__(self) -> Hosts:
        return self

    async def __aexit__(self, *_: object) -> None:
        for site in list(self._hosts):
            await self._hang_up(site)

    async def look(self) -> dict[str, Any]:
        """The status document. Raises FinalError (``not-applied``) where nothing has been set up at either site."""
        sites = self._spec.site_names
        answers = await asyncio.gather(*(self._ask(site) for site in sites))
        if all(answer is NOTHING_THERE for answer in answers):
            raise FinalError(
                f"nothing is set up yet: both hosts answer, and secondsite is installed at neither {sites[0]} nor "
                f"{sites[1]}, so nothing is protected",
                slug="not-applied",
                hint="secondsite plan shows what would be done; secondsite apply does it",
            )
        seen = [answer for answer in answers if isinstance(answer, dict)]
        silent = {site: answer for site, answer in zip(sites, answers, strict=True) if isinstance(answer, str)}
        return status_from(self._spec, seen, silent, SystemClock().now())

    async def _ask(self, site: str) -> dict[str, Any] | str:
        """What a site knows, or why it could not be asked."""
        try:
            host = await self._reach(site)
            done = await host.run(COMMAND, timeout=LOOK_SECONDS, step="look at the site", check=False)
            if done.code == NOT_THERE:
                return NOTHING_THERE
            if not done.ok:
                return f"secondsite fails there: {done.why()}"
            document = json.loads(done.stdout)
        except SecondsiteError as problem:
            await self._hang_up(site)
            return problem.message
        except ValueError:
            return "it runs another version of secondsite"
        return document if isinstance(document, dict) else "it runs another version of secondsite"

    async def _reach(self, site: str) -> Host:
        if site not in self._hosts:
            target = target_of(self._spec, site)
            target = replace(target, connect_timeout=min(CONNECT_SECONDS, target.connect_timeout))
            async with AsyncExitStack() as stack:
                host = await stack.enter_async_context(reach(target))
                self._hosts[site] = (host, stack.pop_all())
        return self._hosts[site][0]

    async def _hang_up(self, site: str) -> None:
        if site in self._hosts:
            await self._hosts.pop(site)[1].aclose()


async def look(spec: Spec) -> dict[str, Any]:
    """The status document, once."""
    async with Hosts(spec) as hosts:
        return await hosts.look()
