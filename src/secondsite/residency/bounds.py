"""What a round-trip time can prove about distance: an upper bound, and never a place."""

from __future__ import annotations

from dataclasses import dataclass

VACUUM_KM_PER_MS = 149.9  # half the speed of light: a round trip covers the way twice; unconditional
FIBRE_KM_PER_MS = 99.9  # the same in glass; holds only where the whole way is fibre
SAME_BUILDING_MS = 0.2


@dataclass(frozen=True, slots=True)
class Bound:
    """How far away the answering host was at most. fibre_km holds under its assumption only."""

    rtt_ms: float
    km: float
    fibre_km: float


def bound(rtt_ms: float) -> Bound:
    """The bounds for the smallest round-trip time of many. Raises ValueError for a time that cannot be."""
    if not rtt_ms > 0:
        raise ValueError(f"a round trip of {rtt_ms} ms cannot be")
    return Bound(rtt_ms, rtt_ms * VACUUM_KM_PER_MS, rtt_ms * FIBRE_KM_PER_MS)


def least_rtt_ms(distance_km: float) -> float:
    """No honest answer comes back sooner than this from so far away."""
    return distance_km / VACUUM_KM_PER_MS
