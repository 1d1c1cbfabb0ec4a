"""Distance on the earth."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

EARTH_RADIUS_KM = 6371.0088  # mean radius; the ellipsoid differs from it by at most 0.6 %

Location = tuple[float, float]  # latitude, longitude in degrees


def great_circle_km(here: Location, there: Location) -> float:
    """The shortest way over the surface between two places, in kilometres (haversine)."""
    latitude, longitude = (radians(value) for value in here)
    other_latitude, other_longitude = (radians(value) for value in there)
    half_chord = (
        sin((other_latitude - latitude) / 2) ** 2
        + cos(latitude) * cos(other_latitude) * sin((other_longitude - longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, half_chord)))
