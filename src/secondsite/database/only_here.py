"""Write down what only a former primary has, before its data is overwritten or moved aside."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from secondsite.clock import Clock
from secondsite.database.control import answering
from secondsite.database.controldata import ControlData
from secondsite.database.fence import hold
from secondsite.database.lost import Kept, write, written
from secondsite.database.node import Node
from secondsite.database.old_wal import OnlyHere, changed_pages, only_here
from secondsite.database.parting import Stretch, only_of
from secondsite.database.rewind_state import RewindState
from secondsite.database.situation import Situation
from secondsite.database.state import Role
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit, Note

DAMAGED = "the old WAL is damaged and cannot be read to its end"
UNCOUNTED = "it cannot be told where this cluster and the primary parted: what only this host has cannot be counted"
START_SECONDS = 300  # replay from its last checkpoint to consistency


@dataclass(frozen=True, slots=True)
class Former:
    """A former primary whose data is as it was then. alone: what it wrote and the primary did not, in order; nothing
    where it cannot be told where they parted."""

    control: ControlData
    alone: tuple[Stretch, ...]


def former_primary(now: Situation) -> Former | None:
    """Pure: what a rewind has begun to overwrite is none any more; it was written down before that began.

    Its timeline is the newest that it wrote on: the last checkpoint's may be the one before a promotion, which ended
    where that promotion began, and what came behind it would not be found."""
    data, primary = now.data, now.primary
    control = data.control if data and not data.standby_signal else None
    if data is None or primary is None or control is None or now.rewind is not RewindState.NONE:
        return None
    if control.system_identifier != primary.system_identifier:
        return None
    known = primary.timeline is not None and (primary.timeline == 1 or primary.forks)
    if data.forks is not None and primary.timeline is not None and known:
        return Former(control, only_of(data.forks, control.generation, primary.forks, primary.timeline))
    fork = dict(primary.forks).get(control.generation)
    return Former(control, () if fork is None else (Stretch(control.generation, fork),))


async def _found(node: Node, former: Former) -> OnlyHere:
    if not former.alone:
        raise FinalError(UNCOUNTED, slug="wal-unreadable", step="lost")
    last = former.alone[-1]
    return await only_here(node.cluster, last.timeline, last.since, former.alone[:-1])


async def told(node: Node, now: Situation) -> str:
    """How much this host has that the new primary never received, in words; reads only."""
    former = former_primary(now)
    if former is None:
        return ""
    try:
        found = await _found(node, former)
    except SecondsiteError as unreadable:
        return unreadable.message
    prepared = f"; {len(found.prepared)} prepared and never committed" if found.prepared else ""
    lost = found.commits
    if not found.complete:
        return f"at least {len(lost)} transactions are only here{prepared}; {DAMAGED}: written down first"
    if not lost:
        return f"no commit is only here{prepared}" if prepared else "nothing is only here"
    return (
        f"{len(lost)} transactions are only here, from {lost[0].at} to {lost[-1].at}, heartbeats of our own "
        f"among them{prepared}: written down first"
    )


async def keep(node: Node, site: str, now: Situation, emit: Emit, clock: Clock) -> bool:
    """Write down the transactions that the new primary never received, and the rows they left; also where there are
    none, for then it is known. Once: what an interrupted run has written stands. The cluster is stopped afterwards.

    Raises SecondsiteError, OSError where it cannot be read or written.
    """
    former = former_primary(now)
    if former is None:
        raise FinalError("nothing is known of the primary or of this cluster", slug="primary-unknown", step="seed")
    control, found = former.control, await _found(node, former)
    folder = node.state / "lost"
    kept = written(folder, found, generation=control.generation)
    try:
        if kept is None:
            touched, unread = None, False
            if found.commits:
                if found.complete and len(former.alone) == 1:
                    touched = await asyncio.to_thread(changed_pages, node.cluster, control, found.since)
                unread = not await _answers(node, now, found, site, emit)
            kept = await asyncio.to_thread(
                write, node.cluster, found, folder, clock,
                generation=control.generation, secret=node.passfile, touched=touched, unread=unread,
            )  # fmt: skip
    finally:
        await node.control.stop()
    for words in _said(found, kept):
        emit(Note(words, site, "warning"))
    return found.complete


def _said(found: OnlyHere, kept: Kept) -> list[str]:
    out = []
    least = "" if found.complete else "at least "
    if least:
        out.append(f"{DAMAGED}: there may be more that only this host has than the {kept.commits} transactions counted")
    if found.commits:
        out.append(
            f"{least}{kept.commits} transactions of {kept.first_at} to {kept.last_at} never reached the new primary"
            f" (heartbeats of our own among them); the {kept.rows} rows they left are in {kept.folder}"
        )
    if found.prepared:
        names = ", ".join(repr(one.gid) for one in found.prepared)
        out.append(f"prepared here, never committed, and unknown to the new primary: {names}; listed in {kept.folder}")
    return out


async def _answers(node: Node, now: Situation, found: OnlyHere, site: str, emit: Emit) -> bool:
    """Whether its rows can be read. Damaged WAL may keep it from starting; then its transactions are listed alone."""
    try:
        await _read_only(node, now)
    except SecondsiteError as why:
        if found.complete:
            raise
        emit(Note(f"the rows that the lost transactions left cannot be read here: {why}", site, "warning"))
        return False
    return True


async def _read_only(node: Node, now: Situation) -> None:
    """Have the old cluster answer without accepting a write, and without following anybody."""
    if now.database.role is Role.STANDBY:
        return
    hold(node.cluster, "read before it is given up")
    await node.control.start()
    await answering(node.cluster, seconds=START_SECONDS)
