"""The end of an apply: does the standby protect the service now? Asked as status asks, from where the person is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secondsite.cli.views.verdict import span
from secondsite.errors import SecondsiteError

SETTLE_SECONDS = 10.0  # the first pull of the files, and the agents' first look at one another
POLL_SECONDS = 0.5
Look = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Protection:
    """protects: None where nobody could look. told: one line for a person. next: the command to go on with."""

    protects: bool | None
    told: str
    next: str
    ready: bool | None = None
    estimated_seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """{protects, ready, estimated_seconds, message, next}."""
        return {
            "protects": self.protects,
            "ready": self.ready,
            "estimated_seconds": self.estimated_seconds,
            "message": self.told,
            "next": self.next,
        }


async def protection(look: Look, *, patience_seconds: float = SETTLE_SECONDS) -> Protection:
    """Look until the standby protects, or for ``patience_seconds``. Never raises for a site that cannot be asked."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        try:
            found = judged(await look())
        except SecondsiteError as problem:
            return Protection(None, f"whether the standby protects could not be asked: {problem.message}", STATUS)
        if found.ready or loop.time() > deadline:
            return found
        await asyncio.sleep(POLL_SECONDS)


STATUS = "secondsite status --watch"
READINESS = "secondsite readiness"


def judged(status: Mapping[str, Any]) -> Protection:
    """Pure: what a status says about protection. A standby protects where the loss is known and within what was
    agreed; whether a failover would work besides is readiness."""
    primary, standby = status["primary"], status["standby"]
    seconds, agreed = status["rpo"]["estimated_seconds"], status["rpo"]["objective_seconds"]
    ready = bool(status["ready"])
    states = ", ".join(f"{replica['name']} {replica['state']}" for replica in status["replicas"])
    if standby is None:
        return Protection(False, "no site is known to be primary, so nothing is protected", STATUS, ready)
    if seconds is None or seconds > agreed:
        behind = f"{status['rpo']['worst']} is {span(seconds)} behind" if seconds is not None else (
            f"how far {status['rpo']['worst']} is behind is not known yet"
        )  # fmt: skip
        told = f"{standby} does not protect {primary} yet ({states}): {behind}"
        return Protection(False, told, STATUS, ready, seconds)
    cost = f"if {primary} burned, at most {span(seconds)} of work would be lost"
    told = f"{standby} protects {primary} now ({states}): {cost}"
    if ready:
        return Protection(True, told, STATUS, ready, seconds)
    critical = next(finding["message"] for finding in status["findings"] if finding["severity"] == "critical")
    return Protection(True, f"{told}; but a failover would not work: {critical}", READINESS, ready, seconds)
