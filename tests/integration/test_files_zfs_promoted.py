"""What must not go on behind a promotion, and what a verification must not cost (real pools)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from secondsite.errors import FinalError
from secondsite.files import store as records
from secondsite.files.store import SOURCE
from secondsite.files.zfs import names
from secondsite.files.zfs.offered import Offer
from secondsite.files.zfs.receive import Received
from secondsite.files.zfs.round import Round
from tests.integration.zfs_sites import Machine, Pair, machine_alone, pair


@pytest.fixture(scope="module")
def zfs_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_alone(tmp_path_factory.mktemp("zfs")) as ready:
        yield ready


@pytest.fixture
async def sites(zfs_host: Machine, tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(zfs_host, tmp_path) as both:
        yield both


async def test_a_round_between_two_receives_does_not_go_on_behind_a_promotion(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the source's answer, a command, anything but a stream: nothing that could be killed runs."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    before = await sites.bergen.guids()
    (sites.oslo.seen / "a").write_text("two")
    honest, reached, go_on = Round._receive, asyncio.Event(), asyncio.Event()

    async def later(self: Round, *words: object, **more: object) -> Received:
        reached.set()
        await go_on.wait()
        return await honest(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Round, "_receive", later)
    running = asyncio.ensure_future(sites.round())
    await reached.wait()
    await sites.bergen.engine(sites.oslo).promote()
    go_on.set()
    (sites.bergen.seen / "b").write_text("the application's")
    ended = await running
    assert not ended.complete and "became the original" in str(ended.reason)
    assert await sites.bergen.guids() == before, "nothing was received behind it"
    copy = (await sites.bergen.tree()).datasets[0]
    assert (copy.mounted, copy.readonly, copy.canmount) == (True, False, "on")
    assert (sites.bergen.record.role, (sites.bergen.seen / "a").read_text()) == (SOURCE, "one")
    with pytest.raises(FinalError) as refused:
        await sites.round()
    assert refused.value.slug == "files-are-source"


async def test_a_receive_whose_program_was_killed_is_ended_by_a_promotion(sites: Pair) -> None:
    """The lock died with the program; `zfs receive` did not."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    before = await sites.bergen.guids()
    (sites.oslo.seen / "big").write_bytes(os.urandom(8_000_000))
    sites.oslo.offers["up"] = Offer(sites.oslo.path, bandwidth=500_000)
    running = asyncio.ensure_future(sites.round())
    for _ in range(200):
        if records.running("up", sites.bergen.store) is not None:
            break
        await asyncio.sleep(0.05)
    kept = sites.bergen.store / "up.lock"
    pid = kept.read_text()
    kept.unlink()  # so that nobody holds the lock of that name
    kept.write_text(pid)
    await sites.bergen.engine(sites.oslo).promote()
    assert not Path(f"/proc/{pid}").exists()
    assert not (await running).complete
    assert await sites.bergen.guids() == before


async def test_a_verification_leaves_holds_and_snapshots_of_the_source_as_they_are(sites: Pair) -> None:
    """A receive that was broken off goes on by its token only as long as the source has that snapshot. It is held by
    the round's word of it; a question that does not name it let the hold go."""
    (sites.oslo.seen / "a").write_text("one")
    await sites.begin()
    (sites.oslo.seen / "a").write_text("two")
    sites.oslo.zfs(f"snapshot {sites.oslo.root}@{names.snapshot(1_800_000_000, '0123abcd')}")
    partial = (await sites.oslo.tree()).datasets[0].snapshots[-1]
    sites.oslo.zfs(f"hold {names.TAG} {sites.oslo.root}@{partial.name}")  # as a round does that names its guid
    (sites.oslo.seen / "a").write_text("three")
    sites.oslo.zfs(f"snapshot {sites.oslo.root}@hourly")
    before = [(each.guid, each.held) for each in (await sites.oslo.tree()).datasets[0].snapshots]
    engine = sites.bergen.engine(sites.oslo)
    for _ in range(2):
        assert (await engine.verify("127.0.0.1", 0, timeout=60)).differing == 0
    assert [(each.guid, each.held) for each in (await sites.oslo.tree()).datasets[0].snapshots] == before
