"""Watch a site from outside through its own status, over one SSH connection that is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from secondsite.errors import FinalError
from secondsite.remote.host import Host
from secondsite.spec import paths

STATUS_SECONDS = 20.0
POLL_SECONDS = 0.3
NOT_THERE = 127  # what a shell ends with where there is no such program


class Observer:
    """A host of a site, asked with secondsite's own commands."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def ask(self, arguments: str, *, timeout: float = STATUS_SECONDS, check: bool = True) -> dict[str, Any]:
        """The JSON document of ``secondsite ARGUMENTS`` there. ``arguments`` are ours, never data.

        Raises FinalError: ``not-applied``, ``no-answer-from-host``, and what the command there raises."""
        done = await self.host.run(
            f"exec {paths.COMMAND} {arguments}", timeout=timeout, step=arguments.split()[0], check=False
        )
        if done.code == NOT_THERE:
            raise FinalError(
                "its host answers, and secondsite is not installed there: it has to be set up first",
                slug="not-applied",
                host=self.host.site,
                hint="secondsite plan shows what would be done; secondsite apply does it",
            )
        try:
            document = json.loads(done.stdout)
        except ValueError as strange:
            raise FinalError(
                f"secondsite {arguments} printed no JSON: {done.why()}",
                slug="no-answer-from-host",
                host=self.host.site,
                hint="secondsite apply brings the same version to every host",
            ) from strange
        if check and "error" in document:
            raise FinalError(document["message"], slug=document["error"], host=self.host.site, hint=document["hint"])
        return dict(document)

    async def status(self) -> dict[str, Any]:
        """``status --json`` there."""
        return await self.ask("status --json")

    async def until_noticed(self, before: Mapping[str, Any], *, patience_seconds: float) -> tuple[str, dict[str, Any]]:
        """Wait until status reports something critical it did not report before; (message, status).

        Raises FinalError (``not-noticed``) when ``patience_seconds`` pass.
        """
        known = critical(before)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_seconds
        while loop.time() < deadline:
            now = await self.status()
            fresh = [finding for key, finding in critical(now).items() if key not in known]
            if fresh:
                return str(fresh[0]["message"]), now
            await asyncio.sleep(POLL_SECONDS)
        raise FinalError(
            f"{patience_seconds:g} s after the fault status still reports nothing critical",
            slug="not-noticed",
            host=self.host.site,
        )


def critical(status: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Pure: the critical findings by check and site."""
    return {
        (finding["check"], finding.get("site") or ""): finding
        for finding in status["findings"]
        if finding["severity"] == "critical"
    }


def primary_of(status: Mapping[str, Any]) -> str | None:
    """Pure: the site that is primary now, where exactly one is."""
    found = [name for name, site in status["sites"].items() if site["role"] == "primary"]
    return found[0] if len(found) == 1 else None
