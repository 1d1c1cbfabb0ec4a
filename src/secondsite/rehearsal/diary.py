"""What a game day is to do, and what has happened in it so far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from secondsite.clock import Clock
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Note

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be rehearsed. for_seconds: a fault on the host ends by itself after this. approver: by whose leave."""

    fault: str
    for_seconds: float
    reason: str
    confirm: Callable[[str], None]
    return_power: bool = True
    approver: str = ""


@dataclass(slots=True)
class Diary:
    """What has happened so far, for the report."""

    clock: Clock
    emit: Emit
    fault_at: float | None = None
    undone: bool = False  # the fault was seen to be taken back
    interrupted: bool = False
    moments: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def note(self, kind: str, what: str, site: str | None = None, at: float | None = None) -> float:
        """Keep a moment (unix seconds; now where none is given) and say it."""
        moment = self.clock.now().timestamp() if at is None else at
        self.moments.append({"kind": kind, "what": what, "site": site, "at": moment})
        self.emit(Note(what, site))
        return moment

    def check(self, name: str, passed: bool, told: str) -> None:
        """Keep the result of a check."""
        self.checks.append({"name": name, "passed": passed, "told": told})
        self.emit(Note(f"{name}: {told}", level="info" if passed else "error"))


async def ask(what: str, diary: Diary, question: Awaitable[T]) -> T | None:
    """An answer for the report; where there is none that is told in it."""
    try:
        return await question
    except (SecondsiteError, OSError, TimeoutError) as failure:
        diary.check(what, False, words(failure))
        return None


def words(failure: BaseException) -> str:
    if isinstance(failure, SecondsiteError):
        return failure.message
    if isinstance(failure, asyncio.CancelledError):
        return "it was interrupted"
    return f"{type(failure).__name__}: {failure}"
