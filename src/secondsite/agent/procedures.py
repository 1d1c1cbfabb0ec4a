"""Procedures that the agent runs for somebody: they go on when the caller hangs up, and can be watched again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit, Event, Note, Progress, Result, to_line

BESIDE = ("verify",)  # only looks, may take hours: runs beside procedures, ends with its caller, gives way to these:
_FIRST = ("failover", "switchover")
KEPT_LINES = 20_000  # a procedure has some hundred; what is above is progress, which may be thinned out


class ProcedureRunner(Protocol):
    """Runs one procedure to its end on this host."""

    async def run(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        """Raises SecondsiteError where it could not begin."""


class Run:
    """One procedure: every line it has said so far, and whoever listens."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.lines: list[str] = []
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._last_was_progress: str | None = None

    def say(self, event: Event) -> None:
        """Keep an event and wake the listeners. Progress of the same work replaces what was said before it."""
        what = event.what if isinstance(event, Progress) else None
        if what is not None and what == self._last_was_progress and len(self.lines) >= KEPT_LINES:
            self.lines[-1] = to_line(event)
        else:
            self.lines.append(to_line(event))
        self._last_was_progress = what
        self._wake()

    def end(self) -> None:
        """Nothing follows."""
        self.ended = True
        self._wake()

    def abandon(self) -> None:
        """Stop it: what runs beside is nobody's once its caller is gone."""
        if self.task is not None and not self.ended:
            self.task.cancel()

    async def follow(self) -> AsyncIterator[str]:
        """Every line from the first on, then as they come, until the end."""
        place = 0
        while True:
            news = self._news
            while place < len(self.lines):
                yield self.lines[place]
                place += 1
            if self.ended:
                return
            await news.wait()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Procedures:
    """At most one procedure at a time on this host. Tasks live in the agent's own group, not in a request."""

    def __init__(
        self,
        runner: ProcedureRunner,
        group: asyncio.TaskGroup,
        afterwards: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._runner = runner
        self._group = group
        self._afterwards = afterwards
        self.current: Run | None = None
        self._beside: Run | None = None

    def start(self, kind: str, arguments: Mapping[str, Any]) -> Run:
        """Begin. Raises FinalError (``procedure-running``, ``verification-running``) while another one runs."""
        if kind in BESIDE:
            return self._start_beside(kind, arguments)
        if self.current is not None and not self.current.ended:
            raise FinalError(
                f"a {self.current.kind} is running on this host",
                slug="procedure-running",
                hint="wait for it, or watch it with `secondsite status --watch`",
            )
        if kind in _FIRST and self._beside is not None:
            self._beside.abandon()
        self.current = run = Run(kind)
        run.task = self._group.create_task(self._carry_out(run, arguments), name=f"procedure {kind}")
        return run

    def _start_beside(self, kind: str, arguments: Mapping[str, Any]) -> Run:
        if self._beside is not None and not self._beside.ended:
            raise FinalError(
                "a verification is running on this host already",
                slug="verification-running",
                hint="wait for it, or end it where it was begun (Ctrl-C)",
            )
        self._beside = run = Run(kind)
        run.task = self._group.create_task(self._carry_out(run, arguments), name=kind)
        return run

    async def finished(self, patience: float) -> None:
        """Wait for the one that runs, if any, for at most ``patience`` seconds. It can be taken up again anyhow."""
        if self._beside is not None:
            self._beside.abandon()
        if self.current is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                async for _ in self.current.follow():
                    pass

    async def _carry_out(self, run: Run, arguments: Mapping[str, Any]) -> None:
        try:
            result = await self._runner.run(run.kind, arguments, run.say)
            if self._afterwards is not None:  # whoever asks right after the end must not hear how it was before
                await self._afterwards()
            run.say(result)
        except asyncio.CancelledError:
            ended = SecondsiteError(f"the {run.kind} was ended: nothing was changed", slug="verify-ended")
            run.say(Result(ended.as_json(), int(ended.exit)))
            raise
        except SecondsiteError as failure:
            run.say(Note(failure.message, failure.host, "error"))
            run.say(Result(failure.as_json(), int(failure.exit)))
        except Exception as mistake:  # noqa: BLE001 - the caller must hear of it, and the agent must live
            bug = SecondsiteError(f"this is a bug in secondsite: {type(mistake).__name__}: {mistake}", slug="bug")
            run.say(Result(bug.as_json(), 70))
        finally:
            run.end()
