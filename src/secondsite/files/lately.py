"""What happened to the paths of a copy within the hour, for as long as this process lives.

A budget asks how many of the files that stood here are touched. One that came a moment ago did not stand here, and a
log that is written to all the time is one file. Of more paths than are remembered each counts again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from secondsite.files.budget import WINDOW_MINUTES

MOST_PATHS = 100_000  # of each kind
_NEVER = (float("-inf"), float("-inf"))
SECONDS = (WINDOW_MINUTES - 2) * 60.0  # what has counted is forgotten by the minute, and not before this


class Paths:
    """When these were first seen, and when last. Moments are unix seconds."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[float, float]] = {}

    def has(self, path: bytes, now: float) -> bool:
        """Whether it was first seen within the hour."""
        return _lately(self._seen.get(path, _NEVER)[0], now)

    def touched(self, path: bytes, now: float) -> bool:
        """Whether it was seen at all within the hour."""
        return _lately(self._seen.get(path, _NEVER)[1], now)

    def add(self, paths: Iterable[bytes], now: float) -> None:
        for path in paths:
            first = self._seen[path][0] if self.has(path, now) else now
            if path not in self._seen and len(self._seen) >= MOST_PATHS:
                self._seen = {one: at for one, at in self._seen.items() if _lately(at[1], now)}
            if path in self._seen or len(self._seen) < MOST_PATHS:
                self._seen[path] = first, now

    def clear(self) -> None:
        self._seen.clear()


class Lately:
    """Of one copy. came: what was not here before. rewritten: what got another content. anew: what was made anew with
    the content that it had, so that its age says nothing."""

    def __init__(self) -> None:
        self.came, self.rewritten, self.anew = Paths(), Paths(), Paths()

    def counting(self, rewritten: Iterable[bytes], now: float) -> set[bytes]:
        """Those that count: they stood here, and have not counted within the hour."""
        return {path for path in rewritten if not (self.came.has(path, now) or self.rewritten.has(path, now))}

    def clear(self) -> None:
        """A person's word covers what was."""
        self.came.clear()
        self.rewritten.clear()
        self.anew.clear()


@cache
def of(name: str, store: Path) -> Lately:
    """What this process remembers of a set."""
    return Lately()


def _lately(at: float, now: float) -> bool:
    return 0 <= now - at < SECONDS
