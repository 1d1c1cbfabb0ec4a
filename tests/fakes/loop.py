"""An event loop whose time passes at once: nobody waits for a sleep, and a wait for nothing is an error."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingWillHappenError(RuntimeError):
    """Every task waits for another one: outside a test this would hang for ever."""


class _Skipping(selectors.SelectSelector):
    """Where the loop would wait, its clock is set ahead instead."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappenError("every task waits, and no timer runs")
        self.skipped += max(0.0, timeout)
        return super().select(0)


class SkippingLoop(asyncio.SelectorEventLoop):
    """Timers fire in their order without anybody waiting. No threads: what they do takes real time."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped


def run(main: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, in no time."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(main)
