"""Where two clusters have parted: what only one of them wrote."""

from __future__ import annotations

import pytest

from secondsite.database.parting import Forks, Stretch, only_of


@pytest.mark.parametrize(
    ("mine", "timeline", "theirs", "their_timeline", "alone"),
    [
        ((), 1, ((1, 500),), 2, (Stretch(1, 500),)),
        (((1, 500),), 2, ((1, 500), (2, 900)), 3, (Stretch(2, 900),)),
        ((), 1, ((1, 500), (2, 900)), 3, (Stretch(1, 500),)),
        (((1, 500),), 2, (), 1, (Stretch(2, 500),)),  # promoted beside a primary that was opened again
        (((1, 500),), 2, ((1, 700),), 3, (Stretch(2, 500),)),
        (((1, 700),), 2, ((1, 500),), 3, (Stretch(1, 500, 700), Stretch(2, 700))),
        (((1, 700),), 2, ((1, 500),), 2, (Stretch(1, 500, 700), Stretch(2, 700))),  # one number, two promotions
        (((1, 500),), 2, ((1, 500),), 3, (Stretch(2, 500),)),
        ((), 1, (), 1, ()),
        (((1, 500),), 2, ((4, 500),), 5, ()),
    ],
)
def test_what_only_one_wrote_begins_where_their_histories_part(
    mine: Forks, timeline: int, theirs: Forks, their_timeline: int, alone: tuple[Stretch, ...]
) -> None:
    assert only_of(mine, timeline, theirs, their_timeline) == alone
