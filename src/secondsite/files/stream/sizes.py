"""How large a copy was within the last minute: most of it that goes at once is told from a rename. Pure."""

from __future__ import annotations

from collections import deque

from secondsite.files.budget import shrinks

AT_ONCE_SECONDS = 60.0  # in which a set may not get much smaller, also where all that goes came a moment ago
LASTS_SECONDS = 0.5  # a size that does not last so long is that of a rename: the new names come, then the old ones go
BUSY_SECONDS = 10.0  # where none lasts, one is taken so often


class Sizes:
    """Of one copy, batch by batch. Moments are monotonic seconds."""

    def __init__(self) -> None:
        self._sizes: deque[tuple[float, int]] = deque()  # moment, entries
        self._weighed_at = float("-inf")

    def fall(self, now: float, before: int, after: int, max_delete: float) -> bool:
        """Whether the set gets smaller than its budget allows, by a batch of this moment and those of the last minute.
        before, after: entries of the copy. Once it has, what is there then is the measure for the next ones."""
        rested, self._weighed_at = now - self._weighed_at > LASTS_SECONDS, now
        if rested or now - self._sizes[-1][0] > BUSY_SECONDS:
            self._sizes.append((now, before))
        while now - self._sizes[0][0] > AT_ONCE_SECONDS and len(self._sizes) > 1:
            self._sizes.popleft()
        falls = shrinks(max(size for _, size in self._sizes), after, max_delete)
        if falls:
            self._sizes.clear()
            self._weighed_at = float("-inf")
        return falls
