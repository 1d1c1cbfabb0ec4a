"""How large a copy was within the last minute: most of it that goes at once is told from a rename. Pure."""

from __future__ import annotations

from collections import deque

from secondsite.files.budget import shrinks

AT_ONCE_SECONDS = 60.0  # in which a set may not get much smaller, also where all that goes came a moment ago
BUSY_SECONDS = 10.0  # where the source is never at rest, a size is taken so often


class Sizes:
    """Of one copy. A size counts when nothing waits at the source: of a rename the new names come, and then the old
    ones go. Moments are monotonic seconds."""

    def __init__(self) -> None:
        self._sizes: deque[tuple[float, int]] = deque()  # moment, entries

    def rest(self, now: float, entries: int) -> None:
        """The copy is what the source is."""
        if self._sizes and self._sizes[-1][1] == entries:
            self._sizes.pop()
        self._sizes.append((now, entries))
        self._forget(now)

    def fall(self, now: float, before: int, after: int, max_delete: float) -> bool:
        """Whether the set gets smaller than its budget allows, by a batch of this moment and those of the last minute.
        before, after: entries of the copy. Once it has, what is there then is the measure for the next ones."""
        if not self._sizes or now - self._sizes[-1][0] > BUSY_SECONDS:
            self._sizes.append((now, before))
        self._forget(now)
        falls = shrinks(max(size for _, size in self._sizes), after, max_delete)
        if falls:
            self._sizes.clear()
        return falls

    def _forget(self, now: float) -> None:
        while now - self._sizes[0][0] > AT_ONCE_SECONDS and len(self._sizes) > 1:
            self._sizes.popleft()
