"""The estimate of what the agents cost: neighbours are compared, and the interval comes from their order alone."""

from __future__ import annotations

import pytest

from bench.load import Block, interval, losses


def test_neighbours_are_compared_whichever_came_first() -> None:
    blocks = [Block(True, 0, 4), Block(False, 5, 9), Block(False, 10, 14), Block(True, 15, 19)]
    speeds = [(float(second), 99.0 if second <= 4 or second >= 15 else 100.0) for second in range(20)]
    assert losses(blocks, speeds) == pytest.approx([1.0, 1.0])


def test_a_second_that_began_before_its_block_does_not_count() -> None:
    speeds = [(0.5, 1.0), (1.5, 50.0), (2.5, 50.0), (6.5, 100.0), (9.5, 1.0)]
    assert losses([Block(True, 0, 4), Block(False, 5, 9)], speeds) == [50.0]


@pytest.mark.parametrize(("count", "places"), [(5, (1, 5)), (6, (1, 6)), (9, (2, 8)), (20, (6, 15)), (60, (22, 39))])
def test_the_interval_is_that_of_the_sign_test(count: int, places: tuple[int, int]) -> None:
    assert interval(list(range(1, count + 1))) == places
