"""Ask the agent of this host over its unix socket. Standard library only, because every command begins with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError
from secondsite.spec import paths

ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 1.0


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("agent")
        self._path = path
        self._answer_seconds = timeout

    def connect(self) -> None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(CONNECT_SECONDS)
        try:
            line.connect(str(self._path))
        except OSError:
            line.close()
            raise
        line.settimeout(self._answer_seconds)
        self.sock = line


class Asked:
    """A request that was sent and whose answer has not been read: do something useful meanwhile."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def read(self) -> Any:
        """The JSON answer. Raises as ``get``."""
        try:
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as lost:
            raise _silent(lost) from lost
        finally:
            self._connection.close()
        return _document(response, body)


def ask(path: str, *, timeout: float = ANSWER_SECONDS, agent: Path | None = None) -> Asked:
    """Send a GET. Raises RetryableError (``agent-silent``) where no agent listens."""
    connection = _UnixConnection(agent or paths.SOCKET, timeout)
    try:
        connection.request("GET", path)
    except OSError as gone:
        connection.close()
        raise _silent(gone) from gone
    return Asked(connection)


def get(path: str, *, timeout: float = ANSWER_SECONDS, agent: Path | None = None) -> Any:
    """A JSON document. Raises RetryableError (``agent-silent``) or FinalError (``agent-refused``)."""
    return ask(path, timeout=timeout, agent=agent).read()


@contextmanager
def event_lines(
    method: str, path: str, document: Mapping[str, Any] | None = None, *, agent: Path | None = None
) -> Iterator[Iterator[str]]:
    """The lines of a procedure as they come. Leaving early leaves the procedure running. Raises as ``get``."""
    connection = _UnixConnection(agent or paths.SOCKET, None)
    body = json.dumps(document or {}).encode() if method == "POST" else None
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
        except (OSError, HTTPException) as gone:
            raise _silent(gone) from gone
        if response.status != 200:
            _document(response, response.read())
        yield _lines(response)
    finally:
        connection.close()


def answered(line: socket.socket) -> Generator[str, None, None]:
    """The lines of the answer to a request that the caller has sent on ``line``. Raises as ``get``."""
    response = HTTPResponse(line, method="POST")
    try:
        response.begin()
    except (OSError, HTTPException) as gone:
        raise _silent(gone) from gone
    if response.status != 200:
        _document(response, response.read())
    yield from _lines(response)


def _lines(response: HTTPResponse) -> Iterator[str]:
    try:
        for raw in response:
            line = raw.decode("utf-8").strip()
            if line:
                yield line
    except (OSError, HTTPException) as lost:
        raise _silent(lost) from lost


def _document(response: HTTPResponse, body: bytes) -> Any:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if response.status == 200:
        return document
    if isinstance(document, dict) and "error" in document:
        raise FinalError(
            str(document.get("message")), slug=document["error"], host=document.get("host"),
            step=document.get("step"), hint=document.get("hint"),
        )  # fmt: skip
    raise FinalError(f"the agent answers {response.status}", slug="agent-refused", step="ask the agent")


def _silent(problem: Exception) -> RetryableError:
    return RetryableError(
        f"the agent of this host does not answer: {str(problem) or type(problem).__name__}",
        slug="agent-silent",
        step="ask the agent",
        hint="systemctl start secondsite-agent",
    )
