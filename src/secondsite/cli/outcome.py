"""The end of a procedure: follow the agent until its result, and tell the result."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import closing

from secondsite.cli.this_host import site_here
from secondsite.errors import Exit, HalfwayError, RetryableError, SecondsiteError, UnknownOutcomeError, way_on
from secondsite.events import Emit, Note, Result, from_line

SILENT_SECONDS = 3.0  # an agent that lives begins within milliseconds


def follow(line: socket.socket, kind: str, emit: Emit) -> Result:
    """The result of the request that was sent on ``line``; events are passed on. Raises as ``until_result``."""
    from secondsite.agent.client import answered

    if not select.select([line], [], [], SILENT_SECONDS)[0]:
        emit(Note(f"the agent has said nothing for {SILENT_SECONDS:g} s; still waiting for it", level="warning"))
    with closing(answered(line)) as lines:
        return until_result(lines, kind, emit)


def until_result(lines: Iterator[str], kind: str, emit: Emit) -> Result:
    """Pass the agent's events on until its result. Raises HalfwayError (``agent-died``) where none comes, and
    UnknownOutcomeError (``agent-unheard``) where it has not said a word."""
    heard = False
    try:
        for line in lines:
            heard = True
            event = from_line(line)
            if isinstance(event, Result):
                return event
            emit(event)
    except RetryableError:
        pass  # told below: the agent died on the way
    if not heard:
        raise UnknownOutcomeError(
            f"the agent ended the line without a word: it may or may not have begun the {kind}",
            slug="agent-unheard",
            host=site_here(),
            hint="secondsite status, and secondsite journal; then the same command again",
        )
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
