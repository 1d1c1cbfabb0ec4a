"""Run a procedure where it belongs: by this host's agent, by this process, or on the site's host over SSH.

Also the hidden command ``carry-out``, which is the other end of SSH: arguments as one JSON line on standard input,
events as JSON lines on standard output.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from secondsite.cli.interrupt import procedure_left
from secondsite.cli.options import Config, find_config
from secondsite.cli.outcome import until_result
from secondsite.cli.this_host import site_here, this_host
from secondsite.errors import RetryableError, SecondsiteError
from secondsite.events import Emit, Event, Note, Result, to_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from secondsite.objectives.snapshot import LagSample
    from secondsite.spec import Spec

NO_AGENT = "no agent answers on this host: doing it from here"


async def run(kind: str, /, *, config: Config = None) -> int:
    """Carry out a procedure on this host, for somebody at the other end of a pipe."""
    import json

    site = site_here() or this_host(find_config(config))[1]
    arguments = json.loads(sys.stdin.readline() or "{}")
    say = print_line if ends_with_caller(kind) else Outliving()
    try:
        result = await carry_out(
            lambda: this_host(find_config(config))[0],
            kind,
            arguments,
            at=site,
            emit=say,
        )
    except SecondsiteError as error:
        result = Result(error.as_json(), int(error.exit))
    say(result)
    return result.exit_code


def print_line(event: Event) -> None:
    """Tell whoever is at the other end."""
    print(to_line(event), flush=True)


class Outliving:
    """Tells whoever is listens, until the line breaks: what is carried out goes on then, and nobody hears of it."""

    def __init__(self) -> None:
        self._broken = False

    def __call__(self, event: Event) -> None:
        if self._broken:
            return
        try:
            print_line(event)
        except OSError:
            self._broken = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # what is still buffered must not fail again at the end
            os.close(nowhere)


def ends_with_caller(kind: str) -> bool:
    """Does it only look, so that nobody needs it once whoever asked is gone?"""
    return kind in ("verify", "versions-list", "versions-diff") or kind.startswith("preview-")


async def carry_out(
    spec: Callable[[], Spec], kind: str, arguments: Mapping[str, Any], *, at: str, emit: Emit
) -> Result:
    """Carry out procedure ``kind`` at site ``at`` and pass its events on; the result as that host gave it.

    On the host itself the agent does it, so that it outlives this terminal; without an agent this process does it
    itself, under the same lock. ``spec`` is only called where the file is needed: the agent has read it already, and
    reading it again would cost a tenth of a second without service. Raises Interrupted where a person stops watching.
    """
    watched = Watched(emit)
    try:
        if site_here() != at:
            from secondsite.remote.procedure import carry_out_there

            return await carry_out_there(spec(), kind, arguments, at=at, emit=watched)
        told = _asked(kind, arguments, watched)
        if told is not None:
            return told
        from secondsite.clock import SystemClock
        from secondsite.wiring import Procedures

        watched(Note(NO_AGENT, at, "warning"))
        return await Procedures(spec(), at, SystemClock(), samples=_left_samples).run(kind, arguments, watched)
    except (KeyboardInterrupt, asyncio.CancelledError) as pressed:
        if ends_with_caller(kind):
            raise
        here = site_here() == at
        heard = watched.heard or here  # from elsewhere the connection alone takes a second or two
        raise procedure_left(kind, at, agent=watched.agent, heard=heard, here=here) from pressed


class Watched:
    """Passes events on, and notices whether an agent carries the procedure out, and whether anything was heard."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.agent = True
        self.heard = False

    def __call__(self, event: Event) -> None:
        self.heard = True
        if isinstance(event, Note) and event.text == NO_AGENT:
            self.agent = False
        self._emit(event)


def _asked(kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result | None:
    """The result from this host's agent; None where none answers. Ctrl-C ends the wait for it at once."""
    from secondsite.agent.client import event_lines
    from secondsite.cli.live import interruptible

    lines = event_lines("POST", f"/v1/procedures/{kind}", arguments)
    with interruptible():
        try:
            told = lines.__enter__()
        except RetryableError:
            return None
        try:
            return until_result(told, kind, emit)
        finally:
            lines.__exit__(None, None, None)


def _left_samples(since: float, span: int) -> Sequence[LagSample]:
    """What the agent that does not run has left."""
    from secondsite.agent.samples import remembered
    from secondsite.spec import paths

    return remembered(paths.SAMPLES, since, span)
