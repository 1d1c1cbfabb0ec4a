"""Procedures that the agent runs for somebody: they go on when the caller hangs up, and can be watched again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from secondsite.errors import Exit, FinalError, SecondsiteError
from secondsite.events import Emit, Event, Note, Progress, Result, to_line

BESIDE = ("verify",)  # only looks, may take hours: runs beside procedures, ends with its caller, gives way to these:
_FIRST = ("failover", "switchover")
_ONLY_LOOK = ("versions-list", "versions-diff")
_NO_PROCEDURE = (
    *("preview-failover", "preview-switchover", "allow-deletions", "bandwidth", *_ONLY_LOOK),
    *("versions-restore", "versions-offer", "versions-withdraw", "versions-fetch"),
)  # no lock of a procedure: beside everything
GIVE_WAY_SECONDS = 10.0  # of a switchover that is ended: its programs are stopped, its lock is given back
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
        self.carried_out = False  # the procedure is over, and what it changed is looked at
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

    @property
    def ends_with_caller(self) -> bool:
        """It only looks: nobody needs its answer once whoever asked is gone."""
        return self.kind in (*BESIDE, *_ONLY_LOOK) or self.kind.startswith("preview-")

    def abandon(self) -> None:
        """Stop it where it stands."""
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
        past_return: Callable[[], bool] = bool,
    ) -> None:
        """afterwards: looks at what a procedure has changed. past_return: whether the switchover that runs here has
        come to its point of no return."""
        self._runner = runner
        self._group = group
        self._afterwards = afterwards
        self._past_return = past_return
        self.current: Run | None = None
        self._beside: Run | None = None
        self._asides: set[Run] = set()

    def start(self, kind: str, arguments: Mapping[str, Any]) -> Run:
        """Begin. Raises FinalError (``procedure-running``, ``verification-running``) while another one runs. A failover
        ends a switchover that has not come to its point of no return: its primary may have died under it."""
        if kind in BESIDE:
            return self._start_beside(kind, arguments)
        if kind in _NO_PROCEDURE:
            return self._start_aside(kind, arguments)
        before = self._to_end(kind)
        if kind in _FIRST and self._beside is not None:
            self._beside.abandon()
        self.current = run = Run(kind)
        self._begin(run, self._carry_out(run, arguments, before))
        return run

    def _to_end(self, kind: str) -> Run | None:
        """The switchover that this procedure ends before it begins. Raises where another one must be waited for."""
        running = self.current
        if running is None or running.ended:
            return None
        hint = "wait for it, or watch it with `secondsite status --watch`"
        if (kind, running.kind) != ("failover", "switchover"):
            raise FinalError(f"a {running.kind} is running on this host", slug="procedure-running", hint=hint)
        if running.carried_out:
            return None  # it is over, and its lock is free
        if self._past_return():
            raise FinalError(
                "a switchover is running on this host and has come to its point of no return: it makes this site the"
                " primary, and a failover would do nothing else",
                slug="procedure-running",
                hint=f"{hint}; if it stops: secondsite switchover --resume",
            )
        return running

    def _begin(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        run.task = self._group.create_task(work, name=f"procedure {run.kind}")
        run.task.add_done_callback(lambda _: run.end())  # also where it was ended before its first line

    def _start_aside(self, kind: str, arguments: Mapping[str, Any]) -> Run:
        run = Run(kind)
        self._asides.add(run)
        self._begin(run, self._carry_out(run, arguments))
        return run

    def _start_beside(self, kind: str, arguments: Mapping[str, Any]) -> Run:
        if self._beside is not None and not self._beside.ended:
            raise FinalError(
                "a verification is running on this host already",
                slug="verification-running",
                hint="wait for it, or end it where it was begun (Ctrl-C)",
            )
        self._beside = run = Run(kind)
        self._begin(run, self._carry_out(run, arguments))
        return run

    async def finished(self, patience: float) -> None:
        """Wait for the one that runs, if any, for at most ``patience`` seconds. It can be taken up again anyhow."""
        if self._beside is not None:
            self._beside.abandon()
        for aside in self._asides:
            if aside.ends_with_caller:
                aside.abandon()
        if self.current is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                async for _ in self.current.follow():
                    pass

    async def _give_way(self, before: Run, run: Run) -> None:
        """End a switchover as if its process had died: the failover closes its journal. One that does not end keeps the
        host's lock, and the failover is refused by that."""
        run.say(Note("the switchover that runs here has promoted nobody: it is ended, the failover goes first"))
        before.abandon()
        if before.task is not None:
            await asyncio.wait({before.task}, timeout=GIVE_WAY_SECONDS)

    async def _carry_out(self, run: Run, arguments: Mapping[str, Any], before: Run | None = None) -> None:
        try:
            if before is not None:
                await self._give_way(before, run)
            result = await self._runner.run(run.kind, arguments, run.say)
            run.carried_out = True
            if self._afterwards is not None and run not in self._asides:
                await self._afterwards()  # whoever asks right after the end must not hear how it was before
            run.say(result)
        except asyncio.CancelledError:
            ended = _ended(run)
            run.say(Result(ended.as_json(), int(ended.exit)))
            raise
        except SecondsiteError as failure:
            run.say(Note(failure.message, failure.host, "error"))
            run.say(Result(failure.as_json(), int(failure.exit)))
        except Exception as mistake:  # noqa: BLE001 - the caller must hear of it, and the agent must live
            bug = SecondsiteError(f"this is a bug in secondsite: {type(mistake).__name__}: {mistake}", slug="bug")
            run.say(Result(bug.as_json(), 70))
        finally:
            self._asides.discard(run)
            run.end()


def _ended(run: Run) -> SecondsiteError:
    """What whoever watches a run hears where it was stopped."""
    if run.ends_with_caller:
        return SecondsiteError(f"the {run.kind} was ended: nothing was changed", slug="verify-ended")
    return SecondsiteError(
        f"the {run.kind} was ended where it stood: a failover goes first, or the agent ends",
        slug="procedure-ended",
        hint="secondsite status",
        exit_code=Exit.HALFWAY,
    )
