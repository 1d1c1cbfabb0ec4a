"""How far a rewind is."""

from __future__ import annotations

from enum import StrEnum


class RewindState(StrEnum):
    """How far a rewind of this host's data folder is."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"  # what follows (configuration, standby.signal) may be missing
    BROKEN = "broken"  # begun and not finished: the folder is not a cluster any more
