"""A connection whose waiting ends by itself, whatever the server does: a frozen one keeps no time limit of its own.

statement_timeout is kept by the very process that may hang (SIGSTOP, a disk that does not answer), and a unix socket
knows no TCP_USER_TIMEOUT. So the client counts as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

P = ParamSpec("P")
T = TypeVar("T")

STATEMENT_SECONDS = 10  # these connections are used where nothing may hang; what takes long sets its own
GRACE_SECONDS = 2.0  # for the server to tell by itself that its time is over
LOOK_SECONDS = 0.05  # so often a wait looks whether it is still wanted
# Threads of their own: a failover must not queue behind whoever hashes files in the event loop's.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="database")


class Bounded(psycopg.Connection[TupleRow]):
    """No statement is waited for longer than ``patience`` seconds (None: as long as its task lives). Then the
    connection is closed, for nobody knows its state, and psycopg.OperationalError raised."""

    patience: float | None = STATEMENT_SECONDS + GRACE_SECONDS
    given_up = False

    def allow(self, seconds: float) -> None:
        """Give the statements that follow so much time, at the server and here."""
        self.execute("SELECT set_config('statement_timeout', %s, false)", (f"{seconds:g}s",))
        self.patience = seconds + GRACE_SECONDS

    def wait(self, gen: PQGen[T], interval: float = LOOK_SECONDS, timeout: float | None = None) -> T:
        """As psycopg's, which asks the generator on at every interval."""
        limit = self.patience if timeout is None else timeout
        return super().wait(self._watched(gen, limit), min(interval, LOOK_SECONDS))

    def _watched(self, gen: PQGen[T], limit: float | None) -> PQGen[T]:
        until = None if limit is None else time.monotonic() + limit
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                wanted = gen.send(ready)
                if self.given_up or (until is not None and time.monotonic() > until):
                    self.close()
                    why = "given up" if self.given_up else f"no answer within {limit:g} s, is it frozen?"
                    raise psycopg.OperationalError(why)
        except StopIteration as ended:
            answer: T = ended.value
            return answer


async def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what asks the database in a thread, so that nothing else of this process waits for it.

    Its connections end it in a known time. Where the task is cancelled that end is waited for: nothing may be
    taken back while it could still act.
    """
    return await _until_over(lambda: work(*args, **kwargs), lambda: None)


async def asking(connection: Bounded, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what uses this one connection, which is given up at once where the task is cancelled."""

    def give_up() -> None:
        connection.given_up = True

    return await _until_over(lambda: work(*args, **kwargs), give_up)


async def _until_over(work: Callable[[], T], give_up: Callable[[], None]) -> T:
    running = asyncio.get_running_loop().run_in_executor(_THREADS, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        give_up()
        await asyncio.wait({running})  # bounded by the connection
        if not running.cancelled():
            running.exception()  # it is over and nobody asks any more
        raise
