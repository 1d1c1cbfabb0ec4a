"""A step of a procedure, and what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit

Details = Mapping[str, Any]


class StepResult(StrEnum):
    """How a step ended."""

    DONE = "done"
    ALREADY = "already"  # the world was already so
    SKIPPED = "skipped"  # never begun, because something it needs failed
    FAILED = "failed"
    UNDONE = "undone"


class Step(ABC):
    """One act of a procedure at one site.

    needs: names of the steps that must have ended well before; steps that do not need one another run at the
    same time. follows: steps that must have ended before, well or not: it can wait, and they cannot. essential:
    without it the procedure is not complete; a step that is not essential may fail and is told. only_looks: it
    changes nothing, so its intent need not be on the disk first. The point of no return needs every step listed
    before it, and every later step needs it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    essential: ClassVar[bool] = True
    point_of_no_return: ClassVar[bool] = False
    only_looks: bool = False
    timeout_seconds: ClassVar[float] = 60.0

    def __init__(self, site: str) -> None:
        self.site = site

    async def check(self) -> Details | None:
        """Is it already so? The details observed if yes, None if there is work. Changes nothing."""
        return None

    @abstractmethod
    async def apply(self, emit: Emit) -> Details:
        """Act. Raises SecondsiteError where the world does not let it."""

    async def verify(self) -> Details:
        """Observe that it worked; raises SecondsiteError where it did not."""
        return {}

    async def holds(self) -> Details | None:
        """Is what a journal says of it still so? Asked when that journal is taken up; the details observed, None where
        the world denies it. Changes nothing."""
        return await self.check()

    async def again(self, before: Details, emit: Emit) -> Details:
        """Of the point of no return alone: a journal proves it, and the world denies it now. Make it so again, or raise
        SecondsiteError; ``before``: what it left then."""
        raise FinalError(
            f"the journal says that this was done ({self.title}), and it is not so now", slug="promotion-gone"
        )

    async def undo(self) -> None:  # noqa: B027 - nothing to take back is the usual case
        """Take ``apply`` back, completely or not begun; called only before the point of no return."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What came of one step; times in RFC 3339, seconds from begin to end."""

    name: str
    site: str
    title: str
    result: StepResult
    started_at: str | None = None
    ended_at: str | None = None
    seconds: float = 0.0
    details: Details = field(default_factory=dict)
    error: SecondsiteError | None = None
