"""A standby is made from a primary, with real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.database_clusters import Pair, pair

from secondsite.database.observe import observe
from secondsite.database.state import Role, Streaming
from secondsite.events import Progress


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


async def test_an_empty_host_becomes_a_streaming_standby_and_a_second_run_changes_nothing(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    state = observe(hosts.nodes["bergen"].cluster)
    assert (state.role, state.streaming) == (Role.STANDBY, Streaming.STREAMING)
    assert any(isinstance(event, Progress) and event.done == event.total for event in hosts.events)
    assert await hosts.primary() == ()
    assert await hosts.standby() == ()
