"""Take a former primary back as the standby: the part of a failback that is an apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from secondsite.cli.bootstrap.connected import connected
from secondsite.cli.bootstrap.consent import agree
from secondsite.cli.bootstrap.look import HostLook
from secondsite.cli.bootstrap.order import Order
from secondsite.cli.bootstrap.run import document, not_working
from secondsite.clock import Clock, to_text
from secondsite.database.state import Role
from secondsite.errors import SecondsiteError
from secondsite.events import ChangeDone, ChangePlanned, Emit, Note
from secondsite.spec.load import Loaded

GIVEN_UP = "foreign-data-directory"  # what a plain plan says of a former primary


@dataclass(frozen=True, slots=True)
class Back:
    """home: the site that is the standby now. step: as in a procedure's document. changes: what was, or would be,
    changed to get there; empty where it streamed already. gave_up: a former primary was there to be taken back."""

    home: str
    step: dict[str, Any]
    document: dict[str, Any]
    changes: Sequence[ChangePlanned]
    gave_up: bool = False


async def back(
    loaded: Loaded,
    emit: Emit,
    clock: Clock,
    *,
    yes: bool,
    dry_run: bool,
    stays: Callable[[str], bool],
    left: Callable[[str], bool],
) -> Back:
    """Both sites as the file says, the former primary as the standby. Asks before anything is changed.

    stays: whether the service is at home already, where the named site is the standby; nothing is changed then, unless
    a former primary is there. left: whether the last procedure was a failover that left the named site; what an earlier
    way back has not come to there is done then. Raises what plan and apply raise, and FinalError ``declined``.
    """
    began, started_at = clock.monotonic(), to_text(clock.now())
    async with connected(loaded.spec, emit, read_only=dry_run) as sessions:
        order = Order(loaded.spec, loaded.text, sessions, emit)
        await order.observe()
        changes = await _plan(order, left)
        gave_up = order.replace_standby is not None
        if not gave_up and stays(order.standby):
            if changes:
                emit(Note(f"{len(changes)} changes of the file wait for secondsite apply"))
            changes = ()
        for change in changes:
            emit(change)
        if not changes:
            emit(Note(f"{order.standby} is the standby of {order.primary} already"))
        elif not dry_run:
            await agree(f"Make these {len(changes)} changes, then move the service to {order.standby}?", yes=yes)
            await order.apply(allowed=None)
            failed = [check for check in await order.verify() if not check.ok]
            if failed:
                raise not_working(failed, order)
    return Back(
        order.standby,
        _step(order.standby, order.done, started_at, clock, began, changed=bool(changes)),
        document(order, "planned" if dry_run else "applied" if changes else "unchanged"),
        changes,
        gave_up,
    )


def half_taken_back(standby: HostLook, *, left: bool) -> bool:
    """Pure: is the site that a failover left a standby again in its database alone, which a plain plan does not refuse?
    A way back that was killed behind the database leaves the file sets the originals that they were, and the guard's
    word about the old data. left: as in ``back``."""
    return left and standby.database.role != Role.PRIMARY and bool(standby.as_primary)


async def _plan(order: Order, left: Callable[[str], bool]) -> Sequence[ChangePlanned]:
    """What is missing; a former primary's data is given up, because that is what coming home means."""
    try:
        changes, standby = await order.plan(), order.seen[order.standby]
        if not half_taken_back(standby, left=left(order.standby)):
            return changes
        what = " and ".join(standby.as_primary)
        order.emit(Note(f"a way back was begun and has not come to its end ({what}): it goes on", order.standby))
    except SecondsiteError as refused:
        if refused.slug != GIVEN_UP:
            raise
    order.replace_standby = order.standby
    return await order.plan()


def _step(
    site: str, done: Sequence[ChangeDone], started_at: str, clock: Clock, began: float, *, changed: bool
) -> dict[str, Any]:
    return {
        "name": "rejoin",
        "title": "Take the old primary back as the standby",
        "site": site,
        "started_at": started_at,
        "ended_at": to_text(clock.now()),
        "seconds": round(clock.monotonic() - began, 4),
        "outcome": "done" if changed else "already",
        "message": None,
        "hint": None,
        "details": {"changes": [f"{change.site}: {change.resource}: {change.summary}" for change in done]},
    }
