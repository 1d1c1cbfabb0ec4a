"""The memory of lag is bounded, keeps the worst, and never turns the unknown into a number."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from secondsite.agent.samples import Samples, Tier
from secondsite.objectives.snapshot import LagSample

START = 1_800_000_000
TIERS = (Tier(1, 60), Tier(10, 300), Tier(60, 1200))
LAGS = st.none() | st.floats(0, 1000)


def filled(folder: str, lags: list[float | None], *, batch: int = 10) -> Samples:
    samples = Samples(Path(folder) / "samples.sqlite", TIERS)
    for second, lag in enumerate(lags):
        samples.add([LagSample(START + second, "database", lag, None)])
        if second % batch == batch - 1:
            samples.flush(START + second + 1)
    samples.flush(START + len(lags))
    return samples


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 4000))
def test_the_file_never_holds_more_than_its_tiers_allow(seconds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = filled(folder, [1.0] * seconds)
        assert samples.count() <= sum(tier.keep // tier.span + 1 for tier in TIERS)
        samples.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(LAGS, min_size=20, max_size=55))
def test_a_coarse_sample_is_the_worst_of_the_fine_ones_and_unknown_only_where_all_were(
    lags: list[float | None],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = filled(folder, lags)
        for coarse in samples.since(START, 10):
            first = int(coarse.at) - START
            known = [lag for lag in lags[first : first + 10] if lag is not None]
            assert coarse.seconds == (max(known) if known else None)
        samples.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(LAGS, max_size=50), st.integers(1, 20))
def test_fine_samples_come_back_as_they_were_flushed_or_not(lags: list[float | None], batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder) / "samples.sqlite", TIERS)
        for second, lag in enumerate(lags):
            samples.add([LagSample(START + second, "database", lag, None)])
            if second % batch == 0:
                samples.flush(START + second)
        assert [sample.seconds for sample in samples.since(START)] == lags
        samples.close()


def test_a_restart_in_the_middle_of_a_minute_loses_no_part_of_it(tmp_path: Path) -> None:
    for start in (0, 5):
        samples = Samples(tmp_path / "samples.sqlite", TIERS)
        samples.add([LagSample(START + start + n, "database", float(start + n), None) for n in range(5)])
        samples.flush(START + start + 5)
        samples.close()
    samples = Samples(tmp_path / "samples.sqlite", TIERS)
    assert [sample.seconds for sample in samples.since(START, 10)] == [9.0]
