"""secondsite on the other end of an SSH connection: requests out, events back, one Result a request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from secondsite.errors import FinalError, UnknownOutcomeError
from secondsite.events import Emit, Result, from_line
from secondsite.remote.host import Host, lost
from secondsite.remote.wire import error_from

PING_SECONDS = 5.0


class Session:
    """A running ``secondsite session`` on a host. One request at a time."""

    def __init__(self, site: str, child: asyncssh.SSHClientProcess[str], said: deque[str]) -> None:
        self.site = site
        self._child = child
        self._said = said

    async def ask(self, request: Mapping[str, Any], emit: Emit, *, timeout: float, step: str) -> Mapping[str, Any]:
        """Send ``request``, pass its events to ``emit``, return the Result's document.

        Raises what the host raised, UnknownOutcomeError (``session-lost``, ``ssh-timeout``) where no Result came.
        """
        try:
            async with asyncio.timeout(timeout):
                with contextlib.suppress(BrokenPipeError):  # it has ended already; its last words tell why
                    self._child.stdin.write(json.dumps(request) + "\n")
                result = await self._until_result(emit, step)
        except TimeoutError as late:
            raise UnknownOutcomeError(
                f"no result within {timeout:g} s", slug="ssh-timeout", host=self.site, step=step, hint="run it again"
            ) from late
        except (asyncssh.Error, OSError) as broken:
            raise lost(self.site, step) from broken
        if result.exit_code:
            raise error_from(result.document, self.site)
        return result.document

    async def ping(self) -> None:
        """Tell the host that somebody is still there, until cancelled."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            with contextlib.suppress(asyncssh.Error, OSError):
                self._child.stdin.write('{"request": "ping"}\n')

    async def _until_result(self, emit: Emit, step: str) -> Result:
        while line := await self._child.stdout.readline():
            try:
                event = from_line(line)
            except ValueError:
                self._said.append(line.rstrip())
                continue
            if isinstance(event, Result):
                return event
            emit(event)
        await self._child.wait_closed()
        if self._said:
            raise FinalError(
                f"secondsite ended on the host without a result; it said: {' / '.join(self._said)}",
                slug="session-failed",
                host=self.site,
                step=step,
            )
        raise lost(self.site, step)


@asynccontextmanager
async def session(host: Host, command: str) -> AsyncIterator[Session]:
    """``command`` (a shell line that starts ``secondsite session``) running on ``host``; ended at the end.

    Whatever happens here, the host sees its standard input end, and stops.
    """
    said: deque[str] = deque(maxlen=8)
    try:
        child = await host.connection.create_process(host.as_root(command), encoding="utf-8", errors="replace")
    except (asyncssh.Error, OSError) as broken:
        raise lost(host.site, "start the session") from broken
    open_session = Session(host.site, child, said)
    listening = asyncio.ensure_future(_listen(child, said))
    pinging = asyncio.ensure_future(open_session.ping())
    try:
        yield open_session
    finally:
        pinging.cancel()
        await _end(child)
        listening.cancel()
        await asyncio.gather(pinging, listening, return_exceptions=True)


async def _listen(child: asyncssh.SSHClientProcess[str], said: deque[str]) -> None:
    while line := await child.stderr.readline():
        said.append(line.rstrip())


async def _end(child: asyncssh.SSHClientProcess[str]) -> None:
    with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
        async with asyncio.timeout(5):
            child.stdin.write_eof()
            await child.wait_closed()
    child.close()
