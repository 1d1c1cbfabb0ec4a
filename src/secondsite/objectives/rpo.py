"""What a disaster would cost right now: the age of the newest moment that every replica has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondsite.objectives.lag import Lag


@dataclass(frozen=True, slots=True)
class Rpo:
    """Estimated loss. seconds is None while any replica's lag is unknown: nothing is promised then.

    known_seconds: how old the worst replica already was when the primary was last heard. It is the loss if the
    primary died at that moment; ``seconds`` is the loss if it only went silent and still accepts writes.
    """

    seconds: float | None
    worst: str | None
    bytes: int | None = None
    files: int | None = None
    known_seconds: float | None = None


def estimate(replicas: Sequence[Lag]) -> Rpo:
    """Never better than the worst replica."""
    if not replicas:
        return Rpo(None, None)
    unknown = next((lag for lag in replicas if lag.seconds is None), None)
    worst = unknown or max(replicas, key=lambda lag: lag.seconds or 0.0)
    return Rpo(
        seconds=worst.seconds,
        worst=worst.replica,
        bytes=_sum([lag.bytes for lag in replicas]),
        files=_sum([lag.files for lag in replicas]),
        known_seconds=None if worst.seconds is None else max(0.0, worst.seconds - worst.unseen_seconds),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
