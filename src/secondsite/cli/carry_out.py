"""Run a procedure where it belongs: by this host's agent, by this process, or on the site's host over SSH."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondsite.cli.this_host import site_here
from secondsite.errors import HalfwayError, RetryableError, SecondsiteError
from secondsite.events import Emit, Result, from_line
from secondsite.spec import Spec, paths

CONNECT_SECONDS = 1.0


class _ToAgent(http.client.HTTPConnection):
    """HTTP over the agent's unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(str(paths.SOCKET))
        self.sock.settimeout(None)


async def carry_out(
    spec: Spec, config: Path, kind: str, arguments: Mapping[str, Any], *, at: str, emit: Emit
) -> Result:
    """Carry out procedure ``kind`` at site ``at`` and pass its events on; the result as that host gave it.

    On the host itself the agent does it, so that it outlives this terminal; without an agent this process does it
    itself, under the same lock.
    """
    if site_here() != at:
        from secondsite.cli.over_ssh import carry_out_there

        return await carry_out_there(spec, kind, arguments, at=at, emit=emit)
    agent = _ask_agent(kind, arguments)
    if agent is not None:
        return _follow(agent, kind, emit)
    from secondsite.clock import SystemClock
    from secondsite.events import Note
    from secondsite.wiring import Procedures

    emit(Note("no agent answers on this host: doing it from here", at, "warning"))
    return await Procedures(spec, at, SystemClock()).run(kind, arguments, emit)


def _ask_agent(kind: str, arguments: Mapping[str, Any]) -> http.client.HTTPResponse | None:
    connection = _ToAgent("agent")
    try:
        connection.request(
            "POST", f"/v1/procedures/{kind}", json.dumps(arguments), {"Content-Type": "application/json"}
        )
        return connection.getresponse()
    except (ConnectionError, FileNotFoundError, TimeoutError):
        return None


def _follow(answer: http.client.HTTPResponse, kind: str, emit: Emit) -> Result:
    """Pass the agent's event lines on until its result."""
    try:
        while line := answer.readline():
            if not line.strip():
                continue
            event = from_line(line.decode())
            if isinstance(event, Result):
                return event
            emit(event)
    except (OSError, http.client.HTTPException, ValueError):
        pass  # told below: the agent died on the way
    raise HalfwayError(
        "the agent went away while it carried the procedure out",
        slug="agent-died",
        host=site_here(),
        hint=f"secondsite {kind} --resume",
    )


def raise_error_of(result: Result) -> Result:
    """An error document as the error it was; any other result as it is."""
    document = result.document
    if "error" not in document:
        return result
    raise SecondsiteError(
        str(document.get("message")),
        slug=str(document["error"]),
        host=document.get("host"),
        step=document.get("step"),
        hint=document.get("hint"),
        exit_code=document.get("exit_code"),
    )


def agent_views() -> Mapping[str, Any] | None:
    """What the agent of this host knows of both sites; None where no agent answers within a second."""
    connection = _ToAgent("agent", timeout=CONNECT_SECONDS)
    try:
        connection.request("GET", "/v1/views")
        answer = connection.getresponse()
        document = json.loads(answer.read())
        return document if answer.status == 200 and isinstance(document, dict) else None
    except (OSError, ValueError, http.client.HTTPException, RetryableError):
        return None
    finally:
        connection.close()
