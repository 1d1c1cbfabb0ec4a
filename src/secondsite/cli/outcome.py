"""The end of a procedure: follow the agent until its result, and tell the result."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

from secondsite.cli.this_host import site_here
from secondsite.errors import Exit, HalfwayError, RetryableError, SecondsiteError, way_on
from secondsite.events import Emit, Result, from_line


def follow(line: socket.socket, kind: str, emit: Emit) -> Result:
    """The result of the request that was sent on ``line``; events are passed on. Raises as ``until_result``."""
    from secondsite.agent.client import answered

    with closing(answered(line)) as lines:
        return until_result(lines, kind, emit)


def until_result(lines: Iterator[str], kind: str, emit: Emit) -> Result:
    """Pass the agent's events on until its result. Raises HalfwayError (``agent-died``) where none comes."""
    try:
        for line in lines:
            event = from_line(line)
            if isinstance(event, Result):
                return event
            emit(event)
    except RetryableError:
        pass  # told below: the agent died on the way
    raise HalfwayError(
        "the agent went away while it carried the procedure out",
        slug="agent-died",
        host=site_here(),
        hint=way_on(kind),
    )


def tell(result: Result, *, as_json: bool) -> int:
    """Print a procedure's document, for a program or a person; its exit code. Raises the error that it is."""
    raise_error_of(result)
    if as_json:
        from secondsite.cli.render import emit_json

        emit_json(result.document)
    else:
        from secondsite.cli.views.procedure import show

        show(result.document)
    return result.exit_code


def raise_error_of(result: Result) -> None:
    """Raise where the document is an error; a procedure's document passes."""
    document = result.document
    if "error" not in document:
        return
    raise SecondsiteError(
        str(document.get("message")),
        slug=str(document["error"]),
        host=document.get("host"),
        step=document.get("step"),
        hint=document.get("hint"),
        exit_code=Exit(int(document.get("exit_code") or Exit.UNCHANGED)),
    )
