"""After a game day: is anything of the fault left on a host? Looked at on both, not remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from secondsite.errors import SecondsiteError
from secondsite.rehearsal.faults import ON_HOST
from secondsite.rehearsal.observer import Observer
from secondsite.remote.host import reach
from secondsite.remote.target import target_of
from secondsite.spec import Spec

NAME = "nothing left behind"
LOOK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Left:
    """What was seen at a site. faults: those with a timer or a rule that is still there. problem: why nobody could
    look."""

    faults: tuple[str, ...] = ()
    quarantines: str | None = None
    problem: str | None = None


async def look(spec: Spec, sites: Collection[str]) -> dict[str, Left]:
    """What is left at each of ``sites``; over new connections, because the fault has broken some."""
    found = await asyncio.gather(*(_at(spec, site) for site in sites))
    return dict(zip(sites, found, strict=True))


async def _at(spec: Spec, site: str) -> Left:
    try:
        async with asyncio.timeout(LOOK_SECONDS), reach(target_of(spec, site)) as host:
            observer = Observer(host)
            faults = [name for name in ON_HOST if (await observer.ask(f"fault {name} --left"))["left"]]
            state = await observer.ask("state --json")
    except (SecondsiteError, TimeoutError) as problem:
        return Left(problem=str(problem) or "it did not answer in time")
    return Left(tuple(faults), spec.peer_of(site) if state.get("quarantining_peer") else None)


def judged(left: Mapping[str, Left], off: str | None = None) -> tuple[bool, str]:
    """Pure: whether nothing is left, and in words. off: the site that was left without power, on purpose.

    A quarantine is told and is no failure: a failover leaves it on purpose, until the old primary is taken back.
    """
    wrong, well = [], []
    for site, seen in left.items():
        if seen.problem is not None:
            wrong.append(f"nobody could look at {site}: {seen.problem}")
        elif seen.faults:
            wrong.append(f"{' and '.join(seen.faults)} at {site} is not undone: its timer or its rule is still there")
        else:
            well.append(site)
    told = [*wrong, *([f"no timer and no rule of a fault at {' and '.join(well)}"] if well else [])]
    if off is not None:
        told.append(f"{off} was left without power, as was asked for")
    for site, seen in left.items():
        if seen.quarantines is not None:
            told.append(
                f"{site} keeps {seen.quarantines} in quarantine, as after every failover, until "
                f"`secondsite apply --replace-standby {seen.quarantines}`"
            )
    return not wrong, "; ".join(told)
