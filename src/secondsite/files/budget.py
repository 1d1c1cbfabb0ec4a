"""The deletion budget: how much of a copy one pull may delete before a person has to look. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counted:
    """What a pass that deletes nothing has found.

    source: files and folders at the source, its root included. created: of these, new here. extra: what is here and
    not at the source.
    """

    source: int
    created: int
    extra: int

    @property
    def before(self) -> int:
        """Files and folders here before the pass, root included."""
        return max(0, self.source - self.created) + self.extra


def limit(before: int, share: float) -> int:
    """The most one pull may delete of ``before`` entries: their share, but one at least where anything may go."""
    return max(1, math.ceil(before * share)) if share > 0 else 0


def refusal(counted: Counted, *, most: int) -> str | None:
    """Why the extra entries must not be deleted when ``most`` may be; None where they may be."""
    if counted.extra == 0:
        return None
    if counted.source <= 1:
        return f"the source is empty, and the copy holds {counted.extra} files and folders"
    if counted.extra > most:
        gone = f"{counted.extra} of {counted.before} files and folders are gone at the source"
        return f"{gone}; the deletion budget is {most}"
    return None
