"""The host's side: requests on standard input, events on standard output, nothing left when the input ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from secondsite.agent.commits import Marker
from secondsite.cli.bootstrap import look, phases, verify
from secondsite.cli.bootstrap.commits import trouble
from secondsite.cli.bootstrap.request import Kind, Phase, Request, parse
from secondsite.cli.bootstrap.still import still_as_planned
from secondsite.clock import Clock
from secondsite.converge.resource import converge
from secondsite.database import facts as database_facts
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe
from secondsite.errors import FinalError, HalfwayError, SecondsiteError, UsageError
from secondsite.events import ChangeDone, ChangePlanned, Emit, Event, Note, Result, to_line
from secondsite.remote.wire import error_document
from secondsite.spec import Spec, paths
from secondsite.spec.load import Loaded, loads

SILENCE_SECONDS = 30.0  # the operator's side pings every 5 s; after this much silence it is gone


def private_stdout() -> TextIO:
    """Standard output for events alone: whatever else prints, prints to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


async def serve(lines: asyncio.StreamReader, out: TextIO, clock: Clock, *, silence: float = SILENCE_SECONDS) -> None:
    """Answer requests until the input ends or falls silent; what is under way then is cancelled."""
    work: asyncio.Queue[Request] = asyncio.Queue()

    def emit(event: Event) -> None:
        out.write(to_line(event) + "\n")
        out.flush()

    worker = asyncio.ensure_future(_work(work, emit, clock))
    reader = asyncio.ensure_future(_read(lines, work, emit, silence))
    try:
        done, _ = await asyncio.wait({worker, reader}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with contextlib.suppress(BrokenPipeError):
                task.result()
    finally:
        for task in (worker, reader):
            task.cancel()
        await asyncio.gather(worker, reader, return_exceptions=True)


async def _read(lines: asyncio.StreamReader, work: asyncio.Queue[Request], emit: Emit, silence: float) -> None:
    while True:
        try:
            async with asyncio.timeout(silence):
                line = await lines.readline()
        except TimeoutError:
            return
        if not line:
            return
        try:
            request = parse(line.decode("utf-8", "replace"))
        except ValueError as strange:
            emit(_failure(UsageError(str(strange), slug="bad-request")))
            continue
        if request.request is not Kind.PING:
            work.put_nowait(request)


async def _work(work: asyncio.Queue[Request], emit: Emit, clock: Clock) -> None:
    while True:
        request = await work.get()
        done: list[str] = []

        def tell(event: Event, done: list[str] = done) -> None:
            if isinstance(event, ChangeDone):
                done.append(event.resource)
            emit(event)

        try:
            emit(Result(await answer(request, tell, clock)))
        except SecondsiteError as error:
            emit(_failure(error, changed=bool(done)))
        except (OSError, ValueError, KeyError) as strange:
            emit(_failure(_unforeseen(strange, request), changed=bool(done)))


async def answer(request: Request, emit: Emit, clock: Clock) -> dict[str, Any]:
    """The document of one request. Raises SecondsiteError."""
    loaded = _loaded(request.config)
    match request.request:
        case Kind.OBSERVE:
            return (await look.look(loaded.spec, request.site)).as_json()
        case Kind.VERIFY:
            checks = await verify.verify(loaded.spec, request.site, request.role, clock.now().timestamp())
            return {"checks": [check.as_json() for check in checks]}
        case Kind.CONVERGE:
            return await _converge(loaded.spec, request, emit, clock)
        case Kind.PING:
            return {}


@lru_cache(maxsize=1)
def _loaded(text: str) -> Loaded:
    """The file of a request: the same in all requests of a session."""
    return loads(text.encode(), paths.CONFIG)


async def _converge(spec: Spec, request: Request, emit: Emit, clock: Clock) -> dict[str, Any]:
    if request.phase is None:
        raise UsageError("a converge request names no phase", slug="bad-request")
    now = phases.Situation(
        spec=spec,
        site=request.site,
        config=request.config,
        role=request.role,
        peer_key=request.peer_key,
        primary=database_facts.from_json(request.primary) if request.primary is not None else None,
        files_reached=request.files_reached or {},
        replace=request.replace,
        dry_run=request.dry_run,
    )
    if not request.dry_run:
        await still_as_planned(spec, request)
    wanted = await phases.resources(request.phase, now)
    if request.dry_run and request.phase is Phase.DATABASE:
        _tell_commits(spec, request.site, emit)
    guarded = emit if request.dry_run or request.allowed is None else _only_allowed(emit, request.allowed)
    made = await converge(wanted, site=request.site, emit=guarded, clock=clock, dry_run=request.dry_run)
    return {"changes": len(made)}


def _tell_commits(spec: Spec, site: str, emit: Emit) -> None:
    """With the plan, because it is no difference that a change of ours could mend."""
    state = observe(Cluster.parse(spec.database.cluster, spec.database.port))
    told = trouble(state, spec, site, Marker(paths.UNCOVERED).since)
    if told is not None:
        emit(Note(told, site, "warning"))


def _only_allowed(emit: Emit, allowed: tuple[str, ...]) -> Callable[[Event], None]:
    """Stop before a disruptive change that nobody has agreed to: it showed up after the plan was confirmed."""

    def check(event: Event) -> None:
        if isinstance(event, ChangePlanned) and event.disrupts and event.resource not in allowed:
            raise FinalError(
                f"{event.resource} ({event.summary}) would be noticed, and was not part of the plan: {event.disrupts}",
                slug="plan-changed",
                host=event.site,
                step=event.resource,
                hint="run apply again; it shows this change and asks",
            )
        emit(event)

    return check


def _unforeseen(error: Exception, request: Request) -> SecondsiteError:
    step = f"{request.request} {request.phase or ''}".strip()
    return FinalError(f"{type(error).__name__}: {error}", slug="host-error", host=request.site, step=step)


def _failure(error: SecondsiteError, *, changed: bool = False) -> Result:
    document = error_document(error) | {"changed": changed or isinstance(error, HalfwayError)}
    return Result(document, int(error.exit))


async def standard_input() -> asyncio.StreamReader:
    """Standard input as a stream; a request holds the whole file, so lines may be long."""
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def who() -> str:
    """Who is at the other end, for the lock file: what SSH says of the connection."""
    client = os.environ.get("SSH_CONNECTION", "").split()
    user = os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"
    return f"{user} from {client[0]}" if client else f"{user} at {Path('/etc/hostname').read_text().strip()}"
