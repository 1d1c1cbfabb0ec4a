"""Both hosts, connected: each with this release of secondsite and a session that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Note
from secondsite.remote.bundle import Bundle, Python, bundle_for
from secondsite.remote.host import Host, reach
from secondsite.remote.session import Session, session
from secondsite.remote.survey import Survey, install_python, python_missing, survey_of
from secondsite.remote.target import target_of
from secondsite.remote.upload import borrow, install
from secondsite.spec import Spec

T = TypeVar("T")


async def each(sites: Sequence[str], act: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    """``act`` for every site at once, each to its end, so that every site's trouble is told.

    Raises the SecondsiteError of the only site in trouble, or an ExceptionGroup of both.
    """
    results: list[Any] = await asyncio.gather(*(act(site) for site in sites), return_exceptions=True)
    troubles = [result for result in results if isinstance(result, BaseException)]
    for trouble in troubles:
        if not isinstance(trouble, SecondsiteError):
            raise trouble
    if len(troubles) == 1:
        raise troubles[0]
    if troubles:
        raise ExceptionGroup("both sites are in trouble", [t for t in troubles if isinstance(t, Exception)])
    return dict(zip(sites, results, strict=True))


@asynccontextmanager
async def connected(spec: Spec, emit: Emit, *, read_only: bool) -> AsyncIterator[Mapping[str, Session]]:
    """A session on each host. read_only: nothing is installed (what a host lacks is cached there) and nothing locked.

    Raises SecondsiteError, or an ExceptionGroup of them where both hosts are in trouble.
    """
    async with AsyncExitStack() as stack:
        hosts = await _reached(spec, stack)
        surveys = await each(spec.site_names, lambda site: _surveyed(hosts[site], emit, read_only))
        bundles = await _bundles(surveys)

        async def start(site: str) -> Session:
            place = borrow if read_only else install
            installed = await place(hosts[site], surveys[site], bundles[site], emit)
            words = ["--read-only"] if read_only else []
            return await stack.enter_async_context(session(hosts[site], installed.session_command(*words)))

        yield await each(spec.site_names, start)


async def _reached(spec: Spec, stack: AsyncExitStack) -> dict[str, Host]:
    async def one(site: str) -> Host:
        return await stack.enter_async_context(reach(target_of(spec, site)))

    return await each(spec.site_names, one)


async def _surveyed(host: Host, emit: Emit, read_only: bool) -> Survey:
    survey = await survey_of(host)
    if survey.python is not None:
        return survey
    if read_only:
        raise python_missing(host.site, survey)
    emit(Note("no Python is installed that is new enough; installing one", host.site))
    return await install_python(host, survey)


async def _bundles(surveys: Mapping[str, Survey]) -> dict[str, Bundle]:
    """One bundle an interpreter; two hosts alike share it."""
    made: dict[Python, Bundle] = {}
    bundles: dict[str, Bundle] = {}
    for site, survey in surveys.items():
        if survey.python is None:
            raise python_missing(site, survey)
        python = Python(survey.python[0], survey.arch, survey.python[1])
        if python not in made:
            made[python] = await bundle_for(python)
        bundles[site] = made[python]
    return bundles
