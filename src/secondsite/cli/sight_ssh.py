"""Both hosts looked at over SSH, side by side: one that burns does not keep us from seeing the other."""

from __future__ import annotations

import asyncio
import json
import shlex
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, TypeGuard

from secondsite.agent.judge import NOT_SET_UP, status_from
from secondsite.clock import SystemClock
from secondsite.errors import FinalError, SecondsiteError
from secondsite.remote.host import Host, reach
from secondsite.remote.target import target_of
from secondsite.spec import Spec, paths

CONNECT_SECONDS = 3.0
LOOK_SECONDS = 8.0
AT_ONCE_SECONDS = 1.0  # after the first answer: then its site is asked about the one that has not told yet
SILENT_SECONDS = 1.6  # a host that has taken no connection by then (a lost packet is sent again after 1 s) is silent
PATIENCE_SECONDS = 5.0  # one that has is waited for so long; longer only where the other one hears it
HEAR_SECONDS = 2.5  # agents ask one another each second: what has not been heard anew in this time is silent
ROUND_SECONDS = 1.2  # however old a word is: one round of the agents is listened to before it is called the last one
FRESH_SECONDS = 0.8  # an older answer of the one that is left is asked for again before it is shown
AGAIN_SECONDS = 0.4
NOT_THERE = 127  # what a shell ends with where there is no such program
COMMAND = f"exec {shlex.quote(str(paths.COMMAND))} state --json"


Answer = dict[str, Any] | str


def told(answer: Answer | None) -> TypeGuard[dict[str, Any]]:
    """Whether a site has told what it knows, and not only why it could not."""
    return isinstance(answer, dict)


def alive(answer: Answer, site: str) -> bool:
    """Whether the one who told this hears ``site``."""
    return told(answer) and "state" in answer["views"].get(site, {})


def silenced(answer: dict[str, Any], site: str) -> dict[str, Any]:
    """Pure: the same, but ``site`` was last heard when it last looked, and is silent since."""
    last = answer["views"][site]["state"]
    since = last["taken_at"] - (answer.get("peer_clock_offset") or 0.0)
    silence = {"reason": f"{answer['site']} does not hear it any more", "since": since}
    return answer | {"views": answer["views"] | {site: {"silence": silence, "last": last}}}


def _taken_at(answer: dict[str, Any], site: str) -> float:
    return float(answer["views"][site]["state"]["taken_at"])


class Hosts:
    """Both hosts, their connections kept from one look to the next. Use as ``async with``."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._connected: set[str] = set()  # who has taken a connection in this look, or keeps an earlier one
        self._hosts: dict[str, tuple[Host, AsyncExitStack]] = {}

    async def __aenter__(self) -> Hosts:
        return self

    async def __aexit__(self, *_: object) -> None:
        for site in list(self._hosts):
            await self._hang_up(site)

    async def look(self) -> dict[str, Any]:
        """The status document. Raises FinalError (``not-applied``) where nothing has been set up at either site."""
        sites = self._spec.site_names
        answers = await self._both()
        if all(answers[site] == NOT_SET_UP for site in sites):
            raise FinalError(
                f"nothing is set up yet: both hosts answer, and secondsite is installed at neither {sites[0]} nor "
                f"{sites[1]}, so nothing is protected",
                slug="not-applied",
                hint="secondsite plan shows what would be done; secondsite apply does it",
            )
        seen = [answer | {"waited": monotonic() - answer["told_at"]} for answer in answers.values() if told(answer)]
        silent = {site: answer for site, answer in answers.items() if isinstance(answer, str)}
        return status_from(self._spec, seen, silent, SystemClock().now())

    async def _both(self) -> dict[str, Answer]:
        """What each site knows, or why it could not be asked.

        The other site may have heard it just before it died: what it hears must be news, by the silent site's clock.
        """
        began = monotonic()
        self._connected.clear()
        tasks = {site: asyncio.create_task(self._ask(site)) for site in self._spec.site_names}
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(tasks.values(), timeout=AT_ONCE_SECONDS)
            if not any(task.done() and told(task.result()) for task in tasks.values()):
                await asyncio.wait(tasks.values())  # the one that has ended could not tell: the other one may
            known = {site: task.result() for site, task in tasks.items() if task.done()}
            for teller, answer in known.items():
                site = self._spec.peer_of(teller)
                if told(answer) and not told(known.get(site)):
                    return await self._through(teller, answer, site, tasks[site], began)
            return known
        finally:
            for task in tasks.values():
                task.cancel()

    async def _through(
        self, teller: str, answer: Answer, site: str, task: asyncio.Task[Answer], began: float
    ) -> dict[str, Answer]:
        """The word of a site that is slow, or silent, and what ``teller`` hears of it meanwhile and afterwards."""
        heard = await self._heard_anew(teller, site, answer)
        seconds = SILENT_SECONDS
        if not alive(heard, site):
            await asyncio.wait([task], timeout=max(0.0, began + SILENT_SECONDS - monotonic()))
            if not task.done() and site in self._connected:
                seconds = PATIENCE_SECONDS
                await asyncio.wait([task], timeout=max(0.0, began + PATIENCE_SECONDS - monotonic()))
        if not task.done() and not alive(heard, site):
            task.cancel()
            await asyncio.wait([task], timeout=AGAIN_SECONDS)
            await self._hang_up(site)
            return {site: f"no answer within {seconds:g} s", teller: await self._fresh(teller, site, heard)}
        own = await task
        return {site: own, teller: heard if told(own) else await self._heard_anew(teller, site, heard)}

    async def _fresh(self, teller: str, site: str, heard: Answer) -> Answer:
        """What the one that is left says now: it has worked on while the other one was waited for."""
        if not told(heard) or monotonic() - heard["told_at"] < FRESH_SECONDS:
            return heard
        again = await self._ask(teller)
        if not told(again):
            return heard
        if not alive(again, site):
            return again
        last = heard["views"].get(site, {}).get("last") or {}
        return again if _taken_at(again, site) > last.get("taken_at", 0.0) else silenced(again, site)

    async def _heard_anew(self, teller: str, site: str, before: Answer) -> Answer:
        """What ``teller`` knows once it has heard ``site`` again; where it does not, ``site`` is silent in it."""
        if not told(before) or not alive(before, site):
            return before
        age = before["now"] - _taken_at(before, site) + (before.get("peer_clock_offset") or 0.0)
        until = before["told_at"] + max(ROUND_SECONDS, HEAR_SECONDS - max(0.0, age))
        latest = before
        while latest is before or monotonic() < until:
            await asyncio.sleep(AGAIN_SECONDS)
            answer = await self._ask(teller)
            if not told(answer):
                break
            latest = answer
            if not alive(answer, site) or answer["views"][site]["state"]["taken_at"] > _taken_at(before, site):
                return answer
        return silenced(latest, site)

    async def _ask(self, site: str) -> Answer:
        """What a site knows, or why it could not be asked."""
        try:
            host = await self._reach(site)
            done = await host.run(COMMAND, timeout=LOOK_SECONDS, step="look at the site", check=False)
            if done.code == NOT_THERE:
                return NOT_SET_UP
            if not done.ok:
                return f"secondsite fails there: {done.why()}"
            document = json.loads(done.stdout)
        except SecondsiteError as problem:
            await self._hang_up(site)
            return problem.message
        except ValueError:
            return "it runs another version of secondsite"
        if not isinstance(document, dict):
            return "it runs another version of secondsite"
        return document | {"told_at": monotonic()}

    async def _reach(self, site: str) -> Host:
        if site in self._hosts:
            self._connected.add(site)  # a busy host is waited for like one called for the first time
        else:
            target = target_of(self._spec, site)
            target = replace(target, connect_timeout=min(CONNECT_SECONDS, target.connect_timeout))
            async with AsyncExitStack() as stack:
                answered = partial(self._connected.add, site)
                host = await stack.enter_async_context(reach(target, answered=answered))
                self._hosts[site] = (host, stack.pop_all())
        return self._hosts[site][0]

    async def _hang_up(self, site: str) -> None:
        if site in self._hosts:
            await self._hosts.pop(site)[1].aclose()


async def look(spec: Spec) -> dict[str, Any]:
    """The status document, once."""
    async with Hosts(spec) as hosts:
        return await hosts.look()
