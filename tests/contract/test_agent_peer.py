"""What the other site's agent owes whoever asks it: the real one over a socket, and the one that unit tests ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from secondsite.errors import FinalError, RetryableError
from secondsite.recovery.guard import PeerAnswer, peer_answer
from secondsite.recovery.peer import Peer
from tests.fakes.agent import fake_agent
from tests.integration.agent_pair import TOKEN, Clusters, agent, clusters, specification, until


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


@asynccontextmanager
async def real_agent(both: Clusters) -> AsyncIterator[Peer]:
    async with agent(both, "oslo") as running:
        await until(lambda: running.board.database.writable)
        spec = specification()
        peer = Peer("oslo", str(spec.tunnel_address("oslo")), spec.tunnel.api_port, TOKEN)
        await until_listening(peer)
        yield peer


async def until_listening(peer: Peer) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(peer.address, peer.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


Reached = AbstractAsyncContextManager[Peer]


@pytest.fixture(params=["real", "fake"])
def reached(request: pytest.FixtureRequest) -> Reached:
    return real_agent(request.getfixturevalue("both")) if request.param == "real" else fake_agent()


async def test_it_says_of_itself_what_the_guard_asks_and_is_silent_only_once_it_is_gone(reached: Reached) -> None:
    async with reached as peer:
        said = await peer.get("/v1/guard", connect_seconds=5, answer_seconds=5)
        assert peer_answer(said) == PeerAnswer(writable=True, generation=1)
        assert {"site", "role", "writable", "generation", "active"} <= set(said)
    with pytest.raises(RetryableError) as silent:
        await peer.get("/v1/guard", connect_seconds=5, answer_seconds=5)
    assert silent.value.slug == "peer-silent"


async def test_without_the_secret_of_both_sites_it_refuses_and_says_nothing(reached: Reached) -> None:
    async with reached as peer:
        for token in ("another", ""):
            with pytest.raises(FinalError) as refused:
                await replace(peer, token=token).get("/v1/guard", connect_seconds=5, answer_seconds=5)
            assert refused.value.slug == "peer-refused" and "401" in refused.value.message
            assert "generation" not in refused.value.message


async def test_what_it_does_not_know_is_refused_in_words(reached: Reached) -> None:
    async with reached as peer:
        with pytest.raises(FinalError) as refused:
            await peer.get("/v1/nothing-of-that-name", connect_seconds=5, answer_seconds=5)
        assert refused.value.host == "oslo"
