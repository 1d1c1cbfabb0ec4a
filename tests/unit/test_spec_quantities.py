"""Quantities are read as people mean them and written back the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from secondsite.spec.quantities import (
    Bytes,
    BytesPerSecond,
    Seconds,
    Share,
    duration_text,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
    size_text,
)
from secondsite.spec.retention import Keep, parse


@given(st.integers(0, 10**12))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds, abs=0.0005)


@given(st.integers(0, 10**18))
def test_a_size_survives_being_written_and_read_exactly(count: int) -> None:
    assert parse_size(size_text(count)) == count


@given(st.integers(0, 10**6), st.sampled_from(["kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]))
def test_a_rate_is_a_size_a_second(count: int, unit: str) -> None:
    assert parse_rate(f"{count}{unit}/s") == parse_size(f"{count} {unit}")


@given(st.integers(0, 100))
def test_a_share_is_a_fraction(percent: int) -> None:
    assert parse_share(f" {percent} %") == percent / 100


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_is_refused_in_words(text: str) -> None:
    for parser in (parse_duration, parse_size, parse_rate, parse_share):
        try:
            value = parser(text)
        except ValueError as refused:
            assert str(refused)
        else:
            assert isinstance(value, float | int)
            assert value >= 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("1m30s", 90), ("1h 30m", 5400), ("24h", 86400), ("2w", 1209600), ("1.5h", 5400)],
)
def test_durations_are_read_with_every_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "1m and a bit", "-5m", "1.5.5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_decimal_and_binary_sizes_differ() -> None:
    assert parse_size("20GB") == 20_000_000_000
    assert parse_size("20GiB") == 21_474_836_480
    assert parse_size("7") == 7


@pytest.mark.parametrize(
    ("kind", "text"), [(Seconds, "0s"), (Bytes, "0MB"), (BytesPerSecond, "0kB/s"), (Share, "101%")]
)
def test_nothing_and_more_than_all_are_refused(kind: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


def test_rules_for_versions_come_finest_first() -> None:
    assert parse("14d daily, 24h hourly") == (Keep(3600, 86400), Keep(86400, 14 * 86400))


@pytest.mark.parametrize(
    "text", ["", "daily", "14 daily", "14d nightly", "1h daily", "2d daily, 3d daily", "1d daily,"]
)
def test_rules_that_keep_nothing_or_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)
