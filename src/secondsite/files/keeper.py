"""Keep every file set current while this site is standby: one loop a set, for as long as the agent runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from secondsite.clock import Clock, SystemClock
from secondsite.errors import SecondsiteError
from secondsite.events import ignore
from secondsite.files import store as records
from secondsite.files.observe import state_of
from secondsite.files.rsync.pull import pull
from secondsite.files.state import FileSetState
from secondsite.files.store import SOURCE, STORE
from secondsite.files.versions.keep import keep_versions
from secondsite.files.versions.state import versions_of
from secondsite.spec import FileSet, Spec

SLOWEST_SECONDS = 10.0  # between attempts while they fail
LOOK_SECONDS = 0.5


def pause(interval: float, took: float, failures: int) -> float:
    """Seconds until the next pull: every ``interval``, resting as long as it worked, less often while it fails."""
    if failures > 1:
        return max(interval, min(SLOWEST_SECONDS, interval * 2.0 ** min(failures, 8)))
    return max(interval - took, took)


class Keeper:
    """Pulls each set from the peer every ``interval``; a set that fails is a state and is tried again."""

    def __init__(self, spec: Spec, site: str, *, store: Path = STORE, clock: Clock | None = None) -> None:
        self._sets = spec.files
        self._source = str(spec.tunnel_address(spec.peer_of(site)))
        self._port = spec.tunnel.files_port
        self._store = store
        self._clock = clock or SystemClock()
        self._pulling: set[str] = set()
        self._problems: dict[str, str] = {}  # what kept a pull from leaving a record, by set
        self._standby = False

    def states(self) -> tuple[FileSetState, ...]:
        """Each file set now."""
        now = self._clock.now().timestamp()
        return tuple(
            state_of(
                each,
                records.load(each.name, self._store),
                now=now,
                standby=self._standby,
                pulling=each.name in self._pulling,
                problem=self._problems.get(each.name),
                versions=versions_of(each, self._store, now),
            )
            for each in self._sets
        )

    async def keep(self, is_standby: Callable[[], bool]) -> None:
        """For ever. Asks ``is_standby`` before each pull."""
        if not self._sets:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for fileset in self._sets:
                group.create_task(self._keep(fileset, is_standby))

    async def _keep(self, fileset: FileSet, is_standby: Callable[[], bool]) -> None:
        failures = 0
        while True:
            self._standby = is_standby()
            if not self._standby or records.load(fileset.name, self._store).role == SOURCE:
                await self._clock.sleep(LOOK_SECONDS)
                continue
            began = self._clock.monotonic()
            failures = 0 if await self._pull(fileset) else failures + 1
            took = self._clock.monotonic() - began
            await self._clock.sleep(pause(fileset.interval, took, failures))

    async def _pull(self, fileset: FileSet) -> bool:
        """Whether it was complete. What ends a pull before its record can tell (no rsync, no folder, a full disk) is
        kept here, because status must say it; the set is tried again."""
        name = fileset.name
        self._pulling.add(name)
        try:
            result = await pull(fileset, self._source, self._port, emit=ignore, store=self._store)
        except (SecondsiteError, OSError) as problem:
            self._problems[name] = problem.message if isinstance(problem, SecondsiteError) else str(problem)
            return False
        finally:
            self._pulling.discard(name)
        self._problems.pop(name, None)
        if result.complete:
            await keep_versions(fileset, self._store, self._clock.now().timestamp())
        return result.complete
