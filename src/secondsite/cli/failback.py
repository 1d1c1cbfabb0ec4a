"""``secondsite failback``: from "the old primary is on again" to everything as it was before the disaster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from secondsite.cli.options import Config, DryRun, Json, Yes, find_config
from secondsite.errors import FinalError, RetryableError

if TYPE_CHECKING:
    from secondsite.cli.bootstrap.back import Back
    from secondsite.cli.journals import Kept
    from secondsite.events import Emit, Result
    from secondsite.recovery.history import Entry
    from secondsite.spec import Spec

READY_SECONDS = 120.0
LOOK_SECONDS = 1.0


async def run(
    *, reason: str = "", config: Config = None, json: Json = False, yes: Yes = False, dry_run: DryRun = False
) -> int:
    """Come home after a failover: take the old primary back as the standby, then move the service to it.

    The old primary is rewound to where the timelines parted, or copied anew where that cannot be done. Transactions
    that only it has are counted before, and written down with their rows before anything is overwritten; files are set
    aside, and those that never reached the other site are listed. The move home loses nothing, and that is proven. Run
    it where you run apply: it reaches both hosts by SSH. Interrupted, it is simply run again, and takes up a move that
    was begun; after a completed switchover, and where nothing has ever failed over, it moves nothing.

    Example: ``secondsite failback --reason "oslo has power again"``, and first with ``--dry-run``.

    Exit code 0: done, within the objectives. 1: done, and users waited for longer than agreed. 3: the service runs
    where it ran, nothing of it was changed. 4: stopped half-way; the message names the command that goes on.

    See also: status, apply, switchover, report --lost-rows, report --lost-files.

    Parameters
    ----------
    reason
        Why; it goes into the journal.
    """
    from secondsite.cli.bootstrap.back import back
    from secondsite.cli.given_up import given_up, last_failover
    from secondsite.cli.journals import at_home, came_home, left_by_failover, way_home
    from secondsite.cli.outcome import tell
    from secondsite.cli.render import Renderer, emit_json
    from secondsite.clock import SystemClock
    from secondsite.events import Note
    from secondsite.spec.load import load

    loaded, clock = load(find_config(config)), SystemClock()
    with Renderer() as emit:
        kept = await _journals(loaded.spec)
        lost = last_failover(kept)
        going = None if dry_run else way_home(kept, loaded.spec)
        if going is not None:  # neither site may accept writes now: an apply would find no primary
            emit(Note(f"{going.id} is not at its end: it is taken up"))
            result = await _take_up(lambda: loaded.spec, going, emit)
            document = dict(result.document)
            if "steps" in document:
                document |= {**_named(document), "lost": await given_up(loaded.spec, lost, emit)}
            return tell(replace(result, document=document), as_json=json)
        came = await back(
            loaded,
            emit,
            clock,
            yes=yes,
            dry_run=dry_run,
            stays=lambda standby: at_home(kept, loaded.spec, standby),
            left=lambda standby: left_by_failover(kept, loaded.spec, standby),
        )
        home = None if came.gave_up else came_home(kept)
        if home is None and not came.gave_up and at_home(kept, loaded.spec, came.home):
            raise nothing_failed_over(loaded.spec.peer_of(came.home), came.home)
        if home is not None:  # to repeat the command must not send the users away from home
            emit(
                Note(f"nothing to come home from: the last procedure was {home.id}, and both sites are as it left them")
            )
        if dry_run:
            move = None if home is not None else await _planned(lambda: loaded.spec, came, kept)
            return _show_plan(came, move, as_json=json)
        if home is not None:
            if json:
                emit_json(nothing_to_do(home, came, loaded.spec))
            return 0
        result = await _move(lambda: loaded.spec, came.home, reason, emit, asked=yes or bool(came.changes))
        found = await given_up(loaded.spec, lost, emit)
    document = dict(result.document)
    if "steps" in document:
        document |= {
            **_named(document),
            "steps": [came.step, *document["steps"]],
            "rejoin": came.document,
            "lost": found,
        }
    return tell(replace(result, document=document), as_json=json)


def _show_plan(came: Back, move: Mapping[str, Any] | None, *, as_json: bool) -> int:
    """The changes were shown as they were found; here is what follows them. move: None where everything is home."""
    from secondsite.cli.render import emit_json
    from secondsite.cli.views.procedure import switchover_lines

    if as_json:
        document = {"procedure": "failback", "dry_run": True, "to": came.home, "rejoin": came.document}
        emit_json({**document, "move": move})
    elif move is not None:
        print("\n".join(["", "then", *switchover_lines(move)]))
    return 0


async def _planned(spec: Callable[[], Spec], came: Back, kept: Sequence[Kept]) -> dict[str, Any]:
    """The move home as ``switchover --dry-run`` would show it, from the outages that both hosts remember."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import raise_error_of
    from secondsite.cli.this_host import site_here
    from secondsite.events import ignore
    from secondsite.recovery.history import outages_of

    at = site_here() or came.home
    preview = await carry_out(spec, "preview-switchover", {"to": came.home}, at=at, emit=ignore)
    raise_error_of(preview)
    return planned_move(preview.document, outages_of(one.entry for one in kept), after_changes=bool(came.changes))


def planned_move(preview: Mapping[str, Any], past: Sequence[float], *, after_changes: bool) -> dict[str, Any]:
    """Pure: the preview of a move that comes after the changes of the way back. What stands against it now, before
    them, says nothing of it: ``failback`` asks again, and waits until nothing does."""
    from secondsite.recovery.switchover.outage import expected

    move = {**preview, "outage": {"expected_seconds": expected(past), "earlier": len(past)}}
    return {**move, "would_be_refused": None, "faults": [], "checks": []} if after_changes else move


async def _journals(spec: Spec) -> Sequence[Kept]:
    """Those of both sites: with half of them the other way would look like the way home. Raises RetryableError."""
    from secondsite.cli.journals import of_sites

    found = await of_sites(spec)
    for site, why in found.silent.items():
        raise RetryableError(
            f"the journals of {site} cannot be read: {why}",
            slug="journals-silent",
            host=site,
            hint="failback needs both hosts; when it answers, give the same command again",
        )
    return found.kept


def nothing_failed_over(primary: str, other: str) -> FinalError:
    """Where the service is at home already: a move would take it away."""
    return FinalError(
        f"no failover has taken the service away from {primary}: it is at home, and nothing was changed",
        slug="nothing-failed-over",
        hint=f"to move it on purpose: secondsite switchover --to {other}",
    )


def nothing_to_do(home: Entry, came: Back, spec: Spec) -> dict[str, Any]:
    """Pure: the document of a failback that found everything home; its journal is that of the way there."""
    objectives = spec.objectives
    return {
        "procedure": "failback",
        "id": home.id,
        "outcome": "completed",
        "steps": [came.step],
        "rto": {"measured_seconds": None, "objective_seconds": objectives.rto, "met": None},
        "rpo": {"estimated_seconds": None, "objective_seconds": objectives.rpo, "met": None},
        "journal": str(home.path),
        "rejoin": came.document,
    }


def _named(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a switchover's document says instead where it is the way home; nothing of an error."""
    return {"procedure": "failback"} if "steps" in document else {}


async def _take_up(spec: Callable[[], Spec], going: Entry, emit: Emit) -> Result:
    """The way home that was begun and has not come to its end."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.this_host import site_here

    arguments = {**going.opened["arguments"], "resume": True}
    return await carry_out(spec, "switchover", arguments, at=site_here() or str(arguments["to"]), emit=emit)


async def _move(spec: Callable[[], Spec], home: str, reason: str, emit: Emit, *, asked: bool) -> Result:
    """The switchover home, as soon as nothing stands against it. Raises what stands against it to the end."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.render import confirm
    from secondsite.cli.this_host import site_here
    from secondsite.clock import SystemClock, to_text

    at = site_here() or home
    await _until_ready(spec, home, at, emit)
    confirm(f"Move the service to {home} now?", yes=asked)
    arguments: dict[str, Any] = {
        "to": home,
        "commanded_at": to_text(SystemClock().now()),
        "reason": reason or "failback",
        "resume": False,
        "overwrite_dns": False,
    }
    return await carry_out(spec, "switchover", arguments, at=at, emit=emit)


async def _until_ready(spec: Callable[[], Spec], home: str, at: str, emit: Emit) -> None:
    """A standby that has just begun needs a moment: the file sets' first pull, the agents' first words."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import raise_error_of
    from secondsite.errors import FinalError
    from secondsite.events import Note, ignore

    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + READY_SECONDS, ""
    while True:
        preview = await carry_out(spec, "preview-switchover", {"to": home}, at=at, emit=ignore)
        raise_error_of(preview)
        refused = preview.document["would_be_refused"]
        if refused is None:
            return
        if loop.time() > deadline:
            raise FinalError(
                f"{home} is the standby again and cannot take over yet: {refused['message']}",
                slug="not-ready-to-go-home",
                host=home,
                step="switchover",
                hint=f"{refused['hint']}; then: secondsite failback",
            )
        if refused["message"] != told:
            told = refused["message"]
            emit(Note(f"waiting: {told}", home))
        await asyncio.sleep(LOOK_SECONDS)
