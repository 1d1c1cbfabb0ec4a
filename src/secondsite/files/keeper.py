"""Keep every file set current while this site is standby: one loop a set, for as long as the agent runs.

Where the source tells its changes they are followed, and the set is compared in full by a pull only at the start, when
something was missed, and once a day. Where it does not, the set is pulled each interval. docs/adr/0018-stream.md.
"""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondsite.clock import Clock, SystemClock
from secondsite.errors import SecondsiteError
from secondsite.events import Event, Progress
from secondsite.files import store as records
from secondsite.files.bandwidth import limit_of
from secondsite.files.choice import pull
from secondsite.files.engine import written_into
from secondsite.files.observe import state_of
from secondsite.files.offer.call import call
from secondsite.files.offer.seal import TokenFile
from secondsite.files.state import Coming, FileSetState
from secondsite.files.store import SOURCE, STORE, Record, locked
from secondsite.files.stream import beneath, exclude, heard
from secondsite.files.stream.follow import Follower, Mark
from secondsite.files.stream.take import End
from secondsite.files.versions.keep import keep_versions
from secondsite.files.versions.state import versions_of
from secondsite.spec import FileSet, Spec, paths

SLOWEST_SECONDS = 10.0  # between attempts while they fail
LOOK_SECONDS = 0.5
CALL_SECONDS = 3.0
COMPARE_SECONDS = 86_400.0  # after which a set is compared in full although its changes were followed


def pause(interval: float, took: float, failures: int) -> float:
    """Seconds until the next pull: every ``interval``, resting as long as it worked, less often while it fails."""
    if failures > 1:
        return max(interval, min(SLOWEST_SECONDS, interval * 2.0 ** min(failures, 8)))
    return max(interval - took, took)


def follows(record: Record, now: float) -> bool:
    """Whether the changes may be followed from where the record is; else a pull comes first. now: unix seconds."""
    compared = record.last_reconcile_at
    lately = compared is not None and abs(now - compared) < COMPARE_SECONDS
    known = record.settled and record.epoch is not None and record.engine != "zfs"
    return known and record.outcome != "blocked" and lately


class Keeper:
    """Keeps each set; one that fails is a state and is tried again."""

    def __init__(
        self, spec: Spec, site: str, *, store: Path = STORE, clock: Clock | None = None, token: Path = paths.PEER_TOKEN
    ) -> None:
        self._spec = spec
        self._sets = spec.files
        self._source = str(spec.tunnel_address(spec.peer_of(site)))
        self._store = store
        self._clock = clock or SystemClock()
        self._pulling: set[str] = set()
        self._problems: dict[str, str] = {}  # what kept a pull from leaving a record, by set
        self._unstreamed: dict[str, str] = {}  # why a set's changes are not followed
        self._followers: dict[str, Follower] = {}
        self._coming: dict[str, Coming] = {}  # of the pulls that run
        self._standby = False
        known = TokenFile(token)

        async def door(request: Mapping[str, Any]) -> socket.socket:
            return await call(self._source, spec.tunnel.watch_port, known, request, timeout=CALL_SECONDS)

        for fileset in self._sets:
            if not exclude.understood(fileset.patterns):
                self._unstreamed[fileset.name] = "its exclude patterns are left to rsync"
            elif not beneath.available():
                self._unstreamed[fileset.name] = "this kernel has no openat2"
            else:
                follower = Follower(fileset, self._source, spec.tunnel.files_port, door, store=store)
                self._followers[fileset.name] = follower

    def states(self) -> tuple[FileSetState, ...]:
        """Each file set now."""
        return tuple(self._state(each, self._clock.now().timestamp()) for each in self._sets)

    def _state(self, fileset: FileSet, now: float) -> FileSetState:
        name, follower = fileset.name, self._followers.get(fileset.name)
        record = records.load(name, self._store)
        return state_of(
            fileset,
            record,
            now=now,
            standby=self._standby,
            pulling=name in self._pulling or (follower is not None and follower.busy),
            problem=self._problems.get(name),
            heard=heard.load(name, record, self._store),
            unstreamed=self._unstreamed.get(name),
            versions=versions_of(fileset, self._store, now),
            limit=limit_of(fileset, self._store),
            coming=self._coming.get(name) or (follower.coming if follower is not None else None),
        )

    async def keep(self, is_standby: Callable[[], bool], is_primary: Callable[[], bool]) -> None:
        """For ever. Asks ``is_standby`` before each pull, and while it follows. What a primary has was not pulled,
        whoever made it one."""
        if not self._sets:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look(is_standby, is_primary))
            for fileset in self._sets:
                group.create_task(self._go_on(fileset, is_standby, is_primary))

    async def _look(self, is_standby: Callable[[], bool], is_primary: Callable[[], bool]) -> None:
        """Apart from what a set just does: one that rests until its next pull must not miss that it is written into."""
        while True:
            self._standby = is_standby()
            for fileset in self._sets if is_primary() else ():
                try:
                    await written_into(fileset, self._store)
                except OSError as failed:
                    self._problems[fileset.name] = f"what is remembered of it cannot be written: {failed}"
            await self._clock.sleep(LOOK_SECONDS)

    async def _go_on(self, fileset: FileSet, is_standby: Callable[[], bool], is_primary: Callable[[], bool]) -> None:
        """What nobody has foreseen ends the keeping of this set for a moment, and of no other."""
        while True:
            try:
                await self._keep(fileset, is_standby, is_primary)
            except Exception as unforeseen:  # noqa: BLE001 - told in status and in the log, and tried again
                self._problems[fileset.name] = f"a mistake of ours: {type(unforeseen).__name__}: {unforeseen}"
                traceback.print_exc()
            await self._clock.sleep(SLOWEST_SECONDS)

    async def _keep(self, fileset: FileSet, is_standby: Callable[[], bool], is_primary: Callable[[], bool]) -> None:
        failures, rest_until = 0, self._clock.monotonic()
        while True:
            if not is_standby() or records.load(fileset.name, self._store).role == SOURCE:
                await self._clock.sleep(LOOK_SECONDS)
                continue
            tried = self._may_follow(fileset)
            if tried and await self._follow(fileset, is_standby) in (End.AGAIN, End.PROMOTED):
                await self._clock.sleep(0.05)
                continue
            if not is_standby():  # that is why it is not followed any more
                continue
            left = rest_until - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
                continue
            began = self._clock.monotonic()
            complete = await self._pull_unless(fileset, is_standby, is_primary)
            if complete is None:
                continue
            failures = 0 if complete else failures + 1
            ended = self._clock.monotonic()
            # Followed at once either way; where that needs another pull, or fails, not without a rest each time.
            if tried or failures or not self._may_follow(fileset):
                rest_until = ended + pause(fileset.interval, ended - began, failures)

    def _may_follow(self, fileset: FileSet) -> bool:
        record = records.load(fileset.name, self._store)
        compared = record.patterns == fileset.patterns  # by these: what others have left out is told by nobody
        return compared and fileset.name in self._followers and follows(record, self._clock.now().timestamp())

    async def _follow(self, fileset: FileSet, is_standby: Callable[[], bool]) -> End | None:
        """Follow the source's changes for as long as that goes well; None where it does not: a pull is the way then."""
        follower, name = self._followers[fileset.name], fileset.name
        self._unstreamed.pop(name, None)
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(follower.follow())
                while not following.done():
                    await asyncio.wait([following], timeout=LOOK_SECONDS)
                    current = records.load(name, self._store)
                    if not is_standby() or not follows(current, self._clock.now().timestamp()):
                        following.cancel()  # once: what it has begun at the disk is waited for
                        await asyncio.wait([following])
            return None if following.cancelled() else following.result()
        except* (SecondsiteError, OSError) as problems:
            self._unstreamed[name] = _words(problems)
        return None

    async def _pull_unless(
        self, fileset: FileSet, is_standby: Callable[[], bool], is_primary: Callable[[], bool]
    ) -> bool | None:
        """Whether a pull was complete; None where the site was no standby any more. It is ended where the site becomes
        the primary, whoever makes it one; a database that is only restarted does not end it."""
        mark = await self._mark(fileset.name)
        if not is_standby():  # to ask for the mark takes seconds, where the source is silent
            return None
        pulling = asyncio.ensure_future(self._pull(fileset, mark))
        try:
            while not pulling.done():
                await asyncio.wait([pulling], timeout=LOOK_SECONDS)
                if is_primary() and not pulling.done():
                    pulling.cancel()
                    await asyncio.wait([pulling])
        finally:
            if not pulling.done():
                pulling.cancel()
                await asyncio.wait([pulling])
        return None if pulling.cancelled() else pulling.result()

    async def _pull(self, fileset: FileSet, mark: Mark | None) -> bool:
        """Whether it was complete. What ends a pull before its record can tell (no rsync, no folder, a full disk) is
        kept here, because status must say it; the set is tried again."""
        name = fileset.name
        self._pulling.add(name)

        def seen(event: Event) -> None:
            if isinstance(event, Progress) and event.unit == "bytes":
                total = None if event.total is None else int(event.total)
                self._coming[name] = Coming(int(event.done), total, event.rate_per_second, event.seconds_left)

        try:
            result = await pull(self._spec, fileset, self._source, emit=seen, store=self._store)
            if (result.complete or result.whole) and mark is not None:
                await self._marked(name, mark)
        except (SecondsiteError, OSError) as problem:
            self._problems[name] = problem.message if isinstance(problem, SecondsiteError) else str(problem)
            return False
        finally:
            self._pulling.discard(name)
            self._coming.pop(name, None)
        self._problems.pop(name, None)
        if result.complete and records.load(name, self._store).engine != "zfs":  # it keeps its own snapshots
            await keep_versions(fileset, self._store, self._clock.now().timestamp())
        return result.complete

    async def _mark(self, name: str) -> Mark | None:
        """Where the source's journal is before a pull begins: from there its changes are followed afterwards."""
        follower = self._followers.get(name)
        if follower is None:
            return None
        try:
            mark = await follower.mark()
        except (SecondsiteError, OSError) as problem:
            self._unstreamed[name] = problem.message if isinstance(problem, SecondsiteError) else str(problem)
            return None
        self._unstreamed.pop(name, None)
        return mark

    async def _marked(self, name: str, mark: Mark) -> None:
        """From here the changes are followed. How old it is, the source's own clock says. Raises RetryableError."""
        async with locked(name, seconds=CALL_SECONDS, store=self._store):
            record = records.load(name, self._store)
            if record.role == SOURCE or record.engine == "zfs":
                return
            if record.outcome == "complete":
                record = replace(record, epoch=mark.epoch, seq=mark.seq)
            records.save(name, replace(record, complete_at=mark.at), self._store)


def _words(problems: BaseExceptionGroup[Exception]) -> str:
    problem: BaseException = problems
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem.message if isinstance(problem, SecondsiteError) else str(problem)
