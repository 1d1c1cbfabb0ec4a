"""What a customer felt, computed from every attempt they made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a customer; times are unix seconds on the customer's clock."""

    kind: str
    id: str
    sent_at: float
    acknowledged_at: float | None
    error: str | None = None
    site_address: str | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Attempt:
        """From a line of a probe's log."""
        return cls(
            str(body["kind"]),
            str(body["id"]),
            float(body["sent_at"]),
            None if body["acknowledged_at"] is None else float(body["acknowledged_at"]),
            body.get("error"),
            body.get("site_address"),
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """The longest time without service: between two acknowledgements with a failure in between."""

    last_good_before: float
    first_good_after: float

    @property
    def seconds(self) -> float:
        return self.first_good_after - self.last_good_before


def outage(attempts: Iterable[Attempt]) -> Outage | None:
    """The longest stretch between acknowledged attempts in which at least one attempt failed; None without one."""
    everything = list(attempts)
    good = sorted(one.acknowledged_at for one in everything if one.acknowledged_at is not None)
    failed = sorted(one.sent_at for one in everything if one.acknowledged_at is None)
    longest: Outage | None = None
    for before, after in pairwise(good):
        # an attempt that failed was sent before the service was back, at most one patience before the last good one
        if any(before - 1.5 <= sent <= after for sent in failed) and (
            longest is None or after - before > longest.seconds
        ):
            longest = Outage(before, after)
    return longest


def lost_seconds(attempts: Iterable[Attempt], lost: Sequence[str], found: Outage | None) -> float | None:
    """The work that was lost, as time: up to the last acknowledgement before the outage, from the moment up to which
    everything acknowledged is still there."""
    gone = set(lost)
    good = [(one.acknowledged_at, one.id) for one in attempts if one.acknowledged_at is not None]
    moments = [at for at, name in good if name in gone]
    if not moments:
        return 0.0
    oldest = min(moments)
    whole_until = max((at for at, name in good if at < oldest and name not in gone), default=oldest)
    end = found.last_good_before if found is not None else max(moments)
    return max(0.0, end - whole_until)
