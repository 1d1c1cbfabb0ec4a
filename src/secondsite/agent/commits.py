"""Each second, on the primary: commits wait for the standby as the file says, and stop as it says if that is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from secondsite.agent.board import Board
from secondsite.agent.ports import Places
from secondsite.clock import Clock, to_text
from secondsite.database.commit_wait import ANSWERS_SECONDS, NAMES, Act, Waiting, decide, names
from secondsite.database.in_step import InStep, after
from secondsite.errors import FinalError
from secondsite.events import Emit, Event, Note
from secondsite.objectives.snapshot import CommitWait
from secondsite.recovery import lock
from secondsite.spec import Spec

Change = Callable[[Act], Awaitable[bool]]  # False where a procedure works on this host
_LEVELS = {"error": 3, "warning": 4, "info": 6}  # as the journal reads them at the head of a line (man sd-daemon)


class Commits:
    """Follows the standby from look to look, has the decision taken, and carries it out."""

    def __init__(
        self,
        spec: Spec,
        board: Board,
        places: Places,
        change: Change,
        say: Emit,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._board = board
        self._fenced = places.fenced
        self._change = change
        self._say = say
        self._clock = clock
        self._in_step = InStep(clock.monotonic())
        self._stopped = Marker(places.uncovered)
        self._done = Act.NOTHING
        self._hung = False

    async def second(self) -> None:
        """After a look at the database. Raises what changing the setting raises; it is tried again next second."""
        board, now = self._board, self._clock.monotonic()
        self._in_step = after(self._in_step, board.database, board.peer, now)
        waiting = self._waiting(now)
        if not waiting.primary or waiting.mode != "sync" or waiting.names == names(board.peer):
            self._stopped.clear()
        self._tell_hanging(waiting)
        done, act = self._done, decide(waiting)
        self._done = Act.NOTHING
        if act is not Act.NOTHING:  # what is about to change is no longer claimed
            self._in_step = replace(self._in_step, goal=None, covered=False)
        self._note(now)
        if act is Act.NOTHING or not await self._change(act):
            return
        self._done = act
        if act is Act.STOP and self._stopped.since is None:
            self._stopped.set(self._clock.now().timestamp())
            self._note(now)
        if act is not done:  # else it is done again because the server has not taken notice yet
            self._tell(act, waiting)

    def _waiting(self, now: float) -> Waiting:
        rules, database = self._spec.database, self._board.database
        return Waiting(
            site=self._board.site,
            peer=self._board.peer,
            mode=rules.mode,
            policy=rules.when_standby_lost,
            degrade_after=rules.degrade_after,
            primary=database.writable and not self._fenced.exists(),
            names=dict(database.settings).get(NAMES),
            answered=self._in_step.answered(now),
            missing=self._in_step.missing(now),
        )

    def _note(self, now: float) -> None:
        step = self._in_step
        self._board.commits = (
            CommitWait(step.since is not None, step.missing(now), step.covered, self._stopped.since)
            if self._board.database.writable
            else None
        )

    def _tell_hanging(self, now: Waiting) -> None:
        peer = now.peer
        waits = now.primary and now.names == names(peer)
        hangs = waits and not now.answered and now.missing > ANSWERS_SECONDS
        if hangs and not self._hung:
            then = f"until {peer} streams" if now.policy == "block" else f"for {now.degrade_after:g} s at most"
            self._announce(f"commits hang: {peer} has not answered for {now.missing:.0f} s. They wait {then}", "error")
        elif self._hung and waits and not hangs:
            self._announce(f"{peer} answers again: commits go on", "info")
        self._hung = hangs

    def _tell(self, act: Act, now: Waiting) -> None:
        peer = now.peer
        if act is Act.STOP:
            why = f"it has not answered for {now.missing:.0f} s, longer than degrade_after ({now.degrade_after:g} s)"
            then = f"RPO is not 0 any more, until {peer} streams again"
            self._announce(f"commits no longer wait for {peer}: {why}. {then}", "error")
        elif act is Act.WAIT:
            self._announce(f"commits wait for {peer} from now on: it streams", "info")
        else:
            self._announce(f'commits no longer wait for {peer}: mode is "{now.mode}"', "warning")

    def _announce(self, text: str, level: str) -> None:
        self._say(Note(text, self._board.site, level))


class Marker:
    """Since when commits wait for a lost standby no longer: a file, because an agent that was restarted must know."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.since: float | None = None
        with contextlib.suppress(OSError, ValueError):
            self.since = float(path.read_text())

    def set(self, at: float) -> None:
        """From ``at`` on."""
        self.since = at
        with contextlib.suppress(OSError):  # a full disk must not keep commits waiting
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(f"{at}\n")

    def clear(self) -> None:
        """It is over, or this host is not the primary any more."""
        if self.since is not None or self._path.exists():
            self.since = None
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


async def unless_busy(
    opening: asyncio.Lock, path: Path | None, act: Callable[[], Awaitable[None]], clock: Clock
) -> bool:
    """Do it while nobody opens or closes this site, and holding the lock at ``path``; False where that is taken.

    Whatever a procedure makes of this host's commits, it shall not be changed under its hands. No path: that commits
    stop waiting for a lost standby is right beside every procedure, and one may wait for half an hour (a checkpoint).
    """
    if opening.locked():
        return False
    async with opening:
        with contextlib.ExitStack() as held:
            if path is not None:
                try:
                    held.enter_context(lock.hold(path, "a change of what commits wait for", to_text(clock.now())))
                except FinalError:
                    return False
            await act()
    return True


def to_journal(event: Event) -> None:
    """What the agent announces, as a line of its log with the level it has."""
    if isinstance(event, Note):
        print(f"<{_LEVELS.get(event.level, 6)}>{event.text}", file=sys.stderr, flush=True)
