"""A slice of the campaign: rounds of random faults, drawn long ago, in which every promise has to hold.

The whole is ``make campaign``. A round that fails here is played again by ``make campaign SEED=2026 ROUND=number``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign.plan import draw
from campaign.play import play
from campaign.states import States
from campaign.table import line
from tests.scenario.ground import Ground

SEED = 2026


@pytest.mark.parametrize("number", [14])
def test_every_promise_holds_in_a_round_of_random_faults(ground: Ground, tmp_path: Path, number: int) -> None:
    lab = ground.lab
    ground.dirty = True  # the round puts it back by itself
    folder = tmp_path / "round"
    folder.mkdir()
    played = play(lab, States(lab, tmp_path, saves=False), draw(SEED, number), folder)
    assert played.wrong == (), line(played.document())
    assert played.evidence is not None and len(played.evidence.acks) > 100
