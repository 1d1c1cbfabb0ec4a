"""What whoever keeps the file sets owes the agent: the real keeper without a source, and the fake without sets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from secondsite.agent.ports import Files
from secondsite.files.keeper import Keeper
from tests.integration.agent_pair import NoFiles, specification

UPLOADS = {"name": "uploads", "path": "/srv/uploads-of-nobody"}


@pytest.fixture(params=["real, without sets", "real, with a set", "fake"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "fake":
        return NoFiles()
    sets = [UPLOADS] if "with a set" in request.param else []
    return Keeper(specification(files=sets), "bergen", store=tmp_path)


@pytest.mark.parametrize("standby", [True, False])
async def test_it_keeps_them_for_ever_whoever_is_standby(files: Files, standby: bool) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await files.keep(lambda: standby, lambda: not standby)


async def test_a_set_that_cannot_be_kept_is_a_state_and_no_exception(files: Files) -> None:
    before = files.states()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await files.keep(lambda: True, lambda: False)
    after = files.states()
    assert [one.name for one in after] == [one.name for one in before]
    assert all(one.complete_at is None and one.reason for one in after), "unknown is told, and is not lag 0"
