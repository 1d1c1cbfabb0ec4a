"""What is said about places: declared facts as declared, and only what a round trip proves as proven."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.residency import ResidencyFinding, assess, bound, least_rtt_ms
from secondsite.spec import Spec
from secondsite.spec.geography import great_circle_km
from secondsite.spec.load import loads

OSLO, BERGEN, STOCKHOLM, FRANKFURT, ASHBURN = (
    (59.91, 10.75), (60.39, 5.32), (59.33, 18.07), (50.11, 8.68), (39.04, -77.49),
)  # fmt: skip
PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def spec_with(
    *,
    location: tuple[float, float] = BERGEN,
    public: str = "198.51.100.11",
    operator: str = "Other Hosting AS",
    country: str = "NO",
    allowed: tuple[str, ...] = (),
    max_distance_km: float | None = None,
) -> Spec:
    """A sound spec; residency is set afterwards, since the file itself refuses contradictions with it."""
    text = f"""
        service = {{ name = "shop" }}
        objectives = {{ rpo = "1m", rto = "5m" }}
        tunnel = {{ network = "10.10.0.0/24" }}
        database = {{ cluster = "15/main" }}
        [sites.oslo]
        ssh = "root@oslo"
        public = "192.0.2.11"
        operator = "Example Hosting AS"
        country = "NO"
        location = [{OSLO[0]}, {OSLO[1]}]
        [sites.bergen]
        ssh = "root@bergen"
        public = "{public}"
        operator = "{operator}"
        country = "{country}"
        location = [{location[0]}, {location[1]}]
    """
    spec = loads(text.encode(), Path("secondsite.toml")).spec
    residency = spec.residency.model_copy(update={"allowed_countries": allowed, "max_distance_km": max_distance_km})
    return spec.model_copy(update={"residency": residency})


def checks(findings: tuple[ResidencyFinding, ...], *, notable: bool = True) -> list[str]:
    return [finding.check for finding in findings if not notable or finding.severity != "info"]


@pytest.mark.parametrize(("there", "km", "ms"), [(STOCKHOLM, 416, 2.8), (FRANKFURT, 1098, 7.3), (ASHBURN, 6244, 41.7)])
def test_known_distances_from_oslo_need_known_round_trips(there: tuple[float, float], km: int, ms: float) -> None:
    distance = great_circle_km(OSLO, there)
    assert distance == pytest.approx(km, rel=0.01)
    assert least_rtt_ms(distance) == pytest.approx(ms, rel=0.015)


@given(PLACES, PLACES)
def test_distance_is_the_same_both_ways_and_never_more_than_half_the_earth(
    here: tuple[float, float], there: tuple[float, float]
) -> None:
    distance = great_circle_km(here, there)
    assert 0 <= distance <= 20016
    assert distance == pytest.approx(great_circle_km(there, here), abs=1e-6)
    assert great_circle_km(here, here) == 0


@given(PLACES, PLACES)
def test_no_honest_round_trip_ever_contradicts_its_own_distance(
    here: tuple[float, float], there: tuple[float, float]
) -> None:
    distance = great_circle_km(here, there)
    rtt = distance / 149.0 + 0.001
    assert bound(rtt).km >= distance
    assert bound(rtt).fibre_km < bound(rtt).km


@pytest.mark.parametrize("rtt", [0.0, -1.0, float("nan")])
def test_a_round_trip_that_took_no_time_proves_nothing(rtt: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        bound(rtt)


def test_two_sound_sites_give_only_information_and_it_says_declared() -> None:
    findings = assess(spec_with(), 9.5)
    assert checks(findings) == []
    declared = [finding for finding in findings if finding.check == "declared"]
    assert [finding.site for finding in declared] == ["oslo", "bergen"]
    assert all("declared, not verified" in finding.message for finding in declared)


def test_a_round_trip_is_claimed_as_a_distance_and_as_nothing_more() -> None:
    (claim,) = [finding for finding in assess(spec_with(), 5.0) if finding.check == "distance-bound"]
    assert "within 750 km" in claim.message
    assert "500 km if the whole way is fibre" in claim.message
    assert "proves no country" in claim.message


def test_without_a_measurement_no_distance_is_claimed() -> None:
    (claim,) = [finding for finding in assess(spec_with(), None) if finding.check == "distance-bound"]
    assert "no distance is bounded" in claim.message


def test_a_country_outside_the_allowed_ones_is_critical() -> None:
    (finding,) = [f for f in assess(spec_with(country="SE", allowed=("NO",)), None) if f.severity == "critical"]
    assert (finding.check, finding.site) == ("country-allowed", "bergen")
    assert "SE (declared, not verified)" in finding.message


def test_sites_farther_apart_than_allowed_are_critical() -> None:
    assert checks(assess(spec_with(max_distance_km=300), None)) == ["distance-allowed"]
    assert checks(assess(spec_with(max_distance_km=310), None)) == []


def test_an_answer_faster_than_light_from_the_declared_place_is_told_and_stops_no_failover() -> None:
    found = [f for f in assess(spec_with(location=ASHBURN), 41.0) if f.severity != "info"]
    assert [(f.check, f.severity) for f in found] == [("location-plausible", "warning")]
    assert checks(assess(spec_with(location=ASHBURN), 42.0)) == []


def test_an_answer_within_a_fifth_of_a_millisecond_is_one_building() -> None:
    assert "sites-apart" in checks(assess(spec_with(location=(59.92, 10.75)), 0.15))
    assert "sites-apart" not in checks(assess(spec_with(location=(59.92, 10.75)), 0.25))


def test_neighbouring_addresses_are_a_warning_in_both_families() -> None:
    assert checks(assess(spec_with(public="192.0.2.200"), None)) == ["subnets-apart"]
    assert checks(assess(spec_with(public="192.0.3.11"), None)) == []
    assert checks(assess(spec_with(public="2001:db8::11"), None)) == []


def test_one_operator_in_one_place_is_a_warning_and_one_of_them_alone_is_not() -> None:
    near = (59.911, 10.75)
    assert checks(assess(spec_with(location=near, operator="example hosting as"), None)) == ["places-apart"]
    assert checks(assess(spec_with(location=near), None)) == []
    assert checks(assess(spec_with(operator="Example Hosting AS"), None)) == []


def test_the_worst_finding_comes_first() -> None:
    severities = [f.severity for f in assess(spec_with(country="SE", allowed=("NO",), public="192.0.2.12"), 3.0)]
    assert severities == sorted(severities, key=["critical", "warning", "info"].index)
