"""Listen on the unix socket and, as soon as the tunnel allows, on its address.

uvicorn's HTTP protocol runs directly on the loop's own servers: one process, no signal handlers of its own, no timer
that wakes ten times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from secondsite.errors import FinalError, RetryableError

KEEP_ALIVE_SECONDS = 75
BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Served:
    """Something that is listened on."""

    server: asyncio.Server
    state: ServerState

    def close(self) -> None:
        """Listen no more, and end every connection once its answer is out."""
        self.server.close()
        for connection in list(self.state.connections):
            connection.shutdown()


async def on_socket(app: ASGIApp, path: Path) -> Served:
    """Serve on a unix socket that only its owner may open. What a dead agent left there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        line.bind(str(path))
    except OSError as refused:
        line.close()
        raise FinalError(f"cannot listen on {path}: {refused.strerror}", slug="agent-socket") from refused
    finally:
        os.umask(before)
    return await _serve(app, line)


async def on_tunnel(app: ASGIApp, address: str, port: int) -> Served:
    """Serve on the tunnel's address even before the address exists (man 7 ip, IP_FREEBIND).

    Raises RetryableError (``agent-port``) where something else listens there.
    """
    line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.setsockopt(socket.SOL_IP, getattr(socket, "IP_FREEBIND", 15), 1)
        line.bind((address, port))
    except OSError as refused:
        line.close()
        raise RetryableError(
            f"cannot listen on {address}:{port}: {refused.strerror}",
            slug="agent-port",
            hint=f"ss -ltnp 'sport = :{port}' shows who does",
        ) from refused
    return await _serve(app, line)


async def _serve(app: ASGIApp, line: socket.socket) -> Served:
    line.setblocking(False)
    config = uvicorn.Config(
        app, http=H11Protocol, ws="none", lifespan="off", interface="asgi3", log_config=None, access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, server_header=False, date_header=False,
    )  # fmt: skip
    config.load()
    state = ServerState()

    def answer() -> asyncio.Protocol:
        return H11Protocol(config=config, server_state=state, app_state={})

    loop = asyncio.get_running_loop()
    if line.family == socket.AF_UNIX:
        return Served(await loop.create_unix_server(answer, sock=line, backlog=BACKLOG), state)
    return Served(await loop.create_server(answer, sock=line, backlog=BACKLOG), state)
