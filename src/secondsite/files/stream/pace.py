"""When a dirty path is told: at once where it was changed once, seldom where it is rewritten all the time. Pure.

Two facts come out of it for every batch: up to which number everything was told, and since when something waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

QUIET_SECONDS, LONGEST_SECONDS = 0.02, 0.05  # a change alone; a run of changes
BUSY_QUIET_SECONDS, BUSY_LONGEST_SECONDS = 0.3, 2.0  # a path that is changed again and again
AGAIN_SECONDS = 2.0  # changed so soon after it was told: it is one of those


@dataclass(slots=True)
class Waiting:
    """A path that is to be told. since: unix seconds, no change that is yet untold is older. first, last: monotonic
    seconds of its first and newest mark here. walked_as: the number that it had when a walk over it began."""

    path: bytes
    seq: int
    tree: bool
    since: float
    first: float
    last: float
    busy: bool = False
    not_before: float = 0.0
    walked_as: int = 0

    def due_at(self, newest: float) -> float:
        """The monotonic moment from which it is to be told; ``newest`` is that of the newest mark of all."""
        if self.busy:
            due = min(self.last + BUSY_QUIET_SECONDS, self.first + BUSY_LONGEST_SECONDS)
        else:
            due = min(newest + QUIET_SECONDS, self.first + LONGEST_SECONDS)
        return max(due, self.not_before)


class Pace:
    """Everything of one set that waits to be told to one follower."""

    def __init__(self, seq: int) -> None:
        """seq: up to which the follower has everything."""
        self._read = seq
        self._newest = 0.0
        self._waiting: dict[bytes, Waiting] = {}
        self._told: dict[bytes, tuple[float, float]] = {}  # monotonic and unix seconds of the look at it

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def read(self) -> int:
        """The newest number that was noted."""
        return self._read

    def note(self, path: bytes, seq: int, since: float, *, tree: bool, now: float, clock: float = float("inf")) -> None:
        """The journal has ``path`` under a new number. clock: the present unix moment; a look that is said to be later
        was before the clock was set back, and says nothing."""
        self._read = max(self._read, seq)
        self._newest = now
        told = self._told.get(path)
        if told is not None and told[1] <= clock:
            since = max(since, told[1])  # what was before that look was told
        one = self._waiting.get(path)
        if one is None:
            again = told is not None and now - told[0] < AGAIN_SECONDS
            self._waiting[path] = Waiting(path, seq, tree, since, now, now, busy=again)
            return
        one.seq, one.tree, one.last = seq, one.tree or tree, now
        one.since = min(one.since, since)
        one.busy = one.busy or now - one.first > LONGEST_SECONDS

    def due(self, now: float, *, most: int) -> list[Waiting]:
        """What is to be told now, at most so many, the oldest numbers first. What is below a folder that is still to be
        walked waits for that: the folders between are not there yet."""
        found = sorted((one for one in self._waiting.values() if one.due_at(self._newest) <= now), key=_number)
        trees = tuple(one.path + b"/" for one in self._waiting.values() if one.tree and one.path)
        if any(one.tree and not one.path for one in self._waiting.values()):
            found = [one for one in found if not one.path]
        elif trees:
            found = [one for one in found if not one.path.startswith(trees)]
        return found[:most]

    def next_at(self) -> float | None:
        """The monotonic moment from which something may be due; None where nothing waits."""
        return min((one.due_at(self._newest) for one in self._waiting.values()), default=None)

    def told(self, items: Iterable[Waiting], *, now: float, looked_at: float) -> None:
        """They were looked at since ``looked_at`` (unix seconds) and told."""
        for one in items:
            if self._waiting.get(one.path) is one:
                del self._waiting[one.path]
            self._told[one.path] = now, looked_at
        if len(self._told) > 2 * len(self._waiting) + 10_000:
            self._told = {path: at for path, at in self._told.items() if now - at[0] < AGAIN_SECONDS}

    def walks(self, tree: Waiting) -> None:
        """All below it is being told; it waits until that is over."""
        tree.not_before, tree.walked_as = float("inf"), tree.seq

    def walked(self, tree: Waiting, *, now: float) -> None:
        """The walk is at its end. What has come or gone again meanwhile is walked again: another folder may be there by
        now than the one of which the first part was told."""
        if tree.seq == tree.walked_as:
            self.told([tree], now=now, looked_at=tree.since)
        else:
            self.later(tree, at=now)

    def is_file(self, tree: Waiting, *, now: float, at: float) -> None:
        """Where a folder was to be walked there is a file, which is told from ``at`` on (monotonic) and not before."""
        if tree.seq == tree.walked_as:
            tree.tree = False
            self.later(tree, at=at)
        else:  # what has come since may be a folder
            self.later(tree, at=now)

    def later(self, one: Waiting, *, at: float) -> None:
        """It is told from ``at`` on (monotonic), and until then nothing of its number or above counts as told."""
        one.not_before = at

    def waiting(self, most: int) -> list[bytes]:
        """Some of what waits."""
        return list(itertools.islice(self._waiting, most))

    def get(self, path: bytes) -> Waiting | None:
        """What waits at ``path``."""
        return self._waiting.get(path)

    @property
    def floor(self) -> int:
        """Everything up to this number was told."""
        return min((one.seq for one in self._waiting.values()), default=self._read + 1) - 1

    def as_of(self, drained: float) -> float:
        """Every change before this unix moment was told, where all before ``drained`` were noted."""
        return min((one.since for one in self._waiting.values() if one.since < drained), default=drained)


def _number(one: Waiting) -> int:
    return one.seq
