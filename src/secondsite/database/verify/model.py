"""What a verification speaks of: tables, ranges of keys, and how a check ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Key = tuple[str, ...]


class Outcome(StrEnum):
    """How a check ended. equal: as it should be. busy: it changed faster than it could be looked at; no fault.
    unknown: it could not be looked at, so nothing is claimed. different: proven not to be as it should."""

    EQUAL = "equal"
    DIFFERENT = "different"
    BUSY = "busy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds users' data, as the primary's catalogue has it.

    key: the primary key's columns; empty where there is none, or none whose order is PostgreSQL's own. rows, pages:
    the planner's estimates, 0 where it never looked.
    """

    database: str
    schema: str
    name: str
    key: tuple[str, ...] = ()
    rows: int = 0
    pages: int = 0

    def __str__(self) -> str:
        return f"{self.database}: {self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Range:
    """Keys from ``low`` on up to but without ``high``; None is an open end. Values as PostgreSQL writes them."""

    low: Key | None = None
    high: Key | None = None

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return "all keys"
        ends = (
            f"from {','.join(self.low)}" if self.low is not None else "",
            f"up to {','.join(self.high)}" if self.high is not None else "",
        )
        return "keys " + " ".join(end for end in ends if end)
