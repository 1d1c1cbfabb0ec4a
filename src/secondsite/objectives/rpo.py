"""What a disaster would cost right now: the age of the newest moment that every replica has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondsite.objectives.lag import Lag
from secondsite.objectives.silence import died_in_silence


@dataclass(frozen=True, slots=True)
class Rpo:
    """Estimated loss. seconds is None while any replica's lag is unknown: nothing is promised then.

    known_seconds: how much the worst replica lacked at most when the primary fell silent. It is the loss if the
    primary died then; ``seconds`` is the loss if it only went silent and still accepts writes.
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
    worst = max(replicas, key=lambda lag: _unknown_last(loss(lag)))
    known = [known_loss(lag) for lag in replicas]
    return Rpo(
        seconds=loss(worst),
        worst=worst.replica,
        bytes=_sum([0 if lag.synchronous else lag.bytes for lag in replicas]),
        files=_sum([lag.files for lag in replicas]),
        known_seconds=None if loss(worst) is None else max(map(_unknown_last, known)),
    )


def loss(lag: Lag) -> float | None:
    """What of this replica would be lost now. A commit that waited for the standby is there, whatever its age."""
    return 0.0 if lag.synchronous else lag.seconds


def known_loss(lag: Lag) -> float | None:
    """The same, had the primary died when it fell silent."""
    if lag.synchronous or lag.was_synchronous:
        return 0.0
    return None if lag.seconds is None else died_in_silence(lag.seconds, lag.unseen_seconds)


def _unknown_last(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
