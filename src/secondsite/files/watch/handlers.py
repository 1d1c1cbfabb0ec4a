"""What can be asked for at this site's door: one line for each."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secondsite.files.offer.door import Handler
from secondsite.files.stream.tell import Offered, tell
from secondsite.files.watch.place import missing, mounts_now
from secondsite.files.watch.watched import Health, WatchedSet
from secondsite.files.watch.watcher import Watcher
from secondsite.files.zfs.offered import Offer
from secondsite.files.zfs.offered import Source as Snapshots


@dataclass(frozen=True, slots=True)
class Source:
    """What a handler may draw on: the sets that are offered, and the watcher with their journals."""

    sets: Mapping[str, WatchedSet]
    watcher: Watcher


def health(source: Source) -> Handler:
    """``{"do": "health"}``: one line of JSON, how well each set is watched, and all that is dirty before as_of."""

    async def answer(request: Mapping[str, Any], line: socket.socket) -> None:
        as_of = await source.watcher.drained()
        told = json.dumps({"as_of": as_of, "sets": {name: report(source, name) for name in source.sets}})
        await asyncio.get_running_loop().sock_sendall(line, told.encode() + b"\n")

    return answer


def report(source: Source, name: str) -> dict[str, Any]:
    """One set, for programs. oldest_at: unix seconds, null where nothing is dirty."""
    seen, journal = source.watcher.health(name), source.watcher.journals[name]
    return {
        "kind": seen.kind.value,
        "watching": seen.watching,
        "problem": seen.problem,
        "overflows": seen.overflows,
        "epoch": journal.epoch,
        "reason": journal.reason,
        "pending": journal.pending,
        "oldest_at": journal.oldest_at,
    }


def changes(source: Source) -> Handler:
    """``{"do": "changes", "set": NAME, ...}``: the stream of a set's changes (files/stream/tell.py)."""

    def offered(each: WatchedSet) -> Offered:
        return Offered(
            each.name,
            os.fsdecode(each.path),
            source.watcher.journals[each.name],
            source.watcher.drained,
            None if each.mount is None else os.fsdecode(each.mount),
            lambda: unseen(source.watcher.health(each.name)),
            lambda: missing(each.inner, mounts_now(os.path.realpath(each.path))) if each.inner else None,
        )

    sets = {name: offered(each) for name, each in source.sets.items()}

    async def answer(request: Mapping[str, Any], line: socket.socket) -> None:
        await tell(sets, request, line)

    return answer


def unseen(health: Health) -> str | None:
    """Why changes of a set are not all seen; None where they are."""
    return None if health.watching else health.problem or "it is not watched yet"


def zfs(source: Source) -> Handler:
    """``{"do": "zfs", ...}``: files/zfs/offered.py. Here only the base of the next round is kept; ``versions`` is the
    standby's affair."""
    offers = {name: Offer(os.fsdecode(each.path)) for name, each in source.sets.items()}
    return Snapshots(lambda: offers)


MAKERS: Mapping[str, Callable[[Source], Handler]] = {
    "health": health,
    "changes": changes,
    "zfs": zfs,
}


def handlers(source: Source) -> dict[str, Handler]:
    """The table for the door."""
    return {name: make(source) for name, make in MAKERS.items()}
