"""Duties: what the agent does again and again. One that fails is told and tried again; it never takes another along."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from secondsite.clock import Clock
from secondsite.errors import SecondsiteError
from secondsite.objectives.snapshot import Trouble


@dataclass(frozen=True, slots=True)
class Duty:
    """Do ``act`` each ``period`` seconds, measured from start to start."""

    name: str
    period: float
    act: Callable[[], Awaitable[None]]


class Troubles:
    """Duties that fail now, since when. Each change is one line in the log, not one a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now: dict[str, Trouble] = {}

    @property
    def now(self) -> tuple[Trouble, ...]:
        """What fails now."""
        return tuple(self._now.values())

    @contextlib.contextmanager
    def kept_from(self, duty: str) -> Iterator[None]:
        """What goes wrong inside is recorded as this duty's trouble and goes no further."""
        try:
            yield
        except Exception as problem:  # noqa: BLE001 - isolation is the point: told in status, in the log, tried again
            self.tell(duty, _words(problem))
        else:
            self.over(duty)

    def tell(self, duty: str, message: str) -> None:
        """A duty fails."""
        known = self._now.get(duty)
        if known is None or known.message != message:
            print(f"{duty}: {message}", file=sys.stderr, flush=True)
        since = known.since if known else self._clock.now().timestamp()
        self._now[duty] = Trouble(duty, message, since)

    def over(self, duty: str) -> None:
        """A duty succeeds (again)."""
        if self._now.pop(duty, None) is not None:
            print(f"{duty}: works again", file=sys.stderr, flush=True)


async def keep(duty: Duty, clock: Clock, troubles: Troubles) -> None:
    """Do a duty for ever. A round that took longer than its period is followed by the next at once, never by two."""
    due = clock.monotonic()
    while True:
        with troubles.kept_from(duty.name):
            await duty.act()
        due = max(due + duty.period, clock.monotonic())
        await clock.sleep(max(0.0, due - clock.monotonic()))


def _words(problem: Exception) -> str:
    if isinstance(problem, SecondsiteError):
        return problem.message
    text = str(problem).strip().split("\n")[0]
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__
