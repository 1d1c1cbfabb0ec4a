"""Observe, plan, apply, verify: how anything on a host is brought to what the file says.

A resource is one thing on this host. ``plan`` looks and says what differs; ``apply`` makes exactly that change;
and success is never an exit code: ``plan`` is asked again and must find nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from secondsite.clock import Clock
from secondsite.errors import FinalError
from secondsite.events import ChangeDone, ChangePlanned, Emit


@dataclass(frozen=True, slots=True)
class Change:
    """What would be done to one resource. disrupts: what a user of the service would notice, if anything."""

    summary: str
    diff: str = ""
    disrupts: str | None = None


class Resource(Protocol):
    """One thing on this host that the file determines."""

    @property
    def name(self) -> str:
        """Short and unique on the host, like ``file /etc/wireguard/wg0.conf``."""

    async def plan(self) -> Change | None:
        """What differs now; None where nothing does. Changes nothing. Raises SecondsiteError to refuse."""

    async def apply(self, change: Change, emit: Emit) -> None:
        """Make the change; long work reports Progress."""


async def converge(
    resources: Sequence[Resource], *, site: str, emit: Emit, clock: Clock, dry_run: bool = False
) -> tuple[Change, ...]:
    """Bring each resource to its wanted state, in order; the changes that were (or would be) made.

    Raises FinalError (slug ``not-converged``) where a resource still differs after its change.
    """
    made: list[Change] = []
    for resource in resources:
        change = await resource.plan()
        if change is None:
            continue
        made.append(change)
        emit(ChangePlanned(resource.name, site, change.summary, change.diff, change.disrupts))
        if dry_run:
            continue
        began = clock.monotonic()
        await resource.apply(change, emit)
        left = await resource.plan()
        if left is not None:
            raise FinalError(
                f"{resource.name} was changed ({change.summary}) and still differs: {left.summary}",
                slug="not-converged",
                host=site,
                step=resource.name,
                hint="something else on this host may be changing it back; see journalctl",
            )
        emit(ChangeDone(resource.name, site, change.summary, clock.monotonic() - began))
    return tuple(made)
