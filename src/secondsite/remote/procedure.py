"""Run a procedure on a site's host over SSH: the host does it, this terminal shows it."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections import deque
from collections.abc import Mapping
from typing import Any

import asyncssh

from secondsite.errors import FinalError, HalfwayError, SecondsiteError, way_on
from secondsite.events import Emit, Result, from_line
from secondsite.remote.host import Host, reach
from secondsite.remote.target import target_of
from secondsite.spec import Spec, paths

ANSWER_SECONDS = 10.0  # for a host whose connection broke: whether it lives


async def carry_out_there(spec: Spec, kind: str, arguments: Mapping[str, Any], *, at: str, emit: Emit) -> Result:
    """Carry out ``kind`` on the host of site ``at``; its events pass through, its result comes back.

    Raises the SSH errors of ``remote``, FinalError (``not-applied``) where secondsite is not on the host, and
    HalfwayError (``session-lost``) where the connection breaks: a host that lives goes on by itself.
    """
    async with reach(target_of(spec, at)) as host:
        return await _run(spec, host, kind, arguments, emit)


async def _run(spec: Spec, host: Host, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
    command = host.as_root(f"exec {shlex.quote(str(paths.COMMAND))} carry-out {shlex.quote(kind)}")
    said: deque[str] = deque(maxlen=5)
    try:
        async with host.connection.create_process(command, encoding="utf-8", errors="replace") as child:
            child.stdin.write(json.dumps(dict(arguments)) + "\n")
            while line := await child.stdout.readline():
                try:
                    event = from_line(line)
                except ValueError:
                    said.append(line.rstrip())
                    continue
                if isinstance(event, Result):
                    return event
                emit(event)
            said.extend((await child.stderr.read()).splitlines())
            await child.wait_closed()
            code = child.returncode
    except (asyncssh.Error, OSError) as broken:
        raise await _lost(host, kind, spec) from broken
    if code == 127:
        raise FinalError(
            f"secondsite is not installed on {host.target.host}",
            slug="not-applied",
            host=host.site,
            hint="secondsite apply",
        )
    if not said:
        raise await _lost(host, kind, spec)
    raise FinalError(
        f"secondsite ended on the host without a result; it said: {' / '.join(said)}",
        slug="session-failed",
        host=host.site,
        step=kind,
    )


async def _lost(host: Host, kind: str, spec: Spec) -> HalfwayError:
    """What became of the procedure, as far as it can be told from here: a host that is dead goes on with nothing."""
    look, go_on = "secondsite status", way_on(kind, host.site)
    unfinished = look if go_on == look else f"{look}, and if it is unfinished: {go_on}"
    if await _answers(host):
        return HalfwayError(
            f"the connection to {host.target.host} broke; the {kind} goes on there by itself",
            slug="session-lost",
            host=host.site,
            step=kind,
            hint=unfinished,
        )
    other = spec.peer_of(host.site)
    gone = f"; if {host.site} is gone for good, on {other}: secondsite guard --allow" if kind == "switchover" else ""
    return HalfwayError(
        f"the connection to {host.target.host} broke, and {host.site} does not answer any more: nobody can tell from"
        f" here how far the {kind} has come, and it may be that neither site serves",
        slug="session-lost",
        host=host.site,
        step=kind,
        hint=f"{look}; once {host.site} answers again: {go_on}{gone}",
    )


async def _answers(host: Host) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS), reach(host.target):
            return True
    except (SecondsiteError, TimeoutError):
        return False
