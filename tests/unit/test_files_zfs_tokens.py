"""A receive that was broken off goes on by its token, and never for ever by one that leads nowhere."""

from __future__ import annotations

import pytest

from secondsite.files.zfs import plan
from secondsite.files.zfs.model import Dataset, Snapshot, Tree

BASE, NEXT = Snapshot("base", 11, 1), Snapshot("next", 12, 2)


def planned(there: tuple[Snapshot, ...], token_guid: int | None) -> plan.Plan:
    source = Tree("pool/up", (Dataset("", 1, there),))
    here = Dataset("", 2, (BASE,), token="1-a-b-c", token_guid=token_guid)
    return plan.plan(source, Tree("copy/up", (here,)), None, agreed=False, refused=frozenset())


def test_a_token_whose_snapshot_the_source_still_has_is_gone_on_with() -> None:
    assert planned((BASE, NEXT), NEXT.guid).steps == (plan.Resume("", "1-a-b-c", NEXT.guid, False),)


@pytest.mark.parametrize("token_guid", [NEXT.guid, None])
def test_a_token_whose_snapshot_is_gone_or_that_cannot_be_read_is_given_up(token_guid: int | None) -> None:
    """Else the same resume fails in each round, and nothing is sent any more."""
    newer = Snapshot("newer", 13, 3)
    given_up = planned((BASE, newer), token_guid)
    assert given_up.steps == (plan.Abort("", False),) and given_up.again
