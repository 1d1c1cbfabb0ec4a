"""Waiting for an application ends with its health, with time, or with what makes it vain."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from secondsite.database.cluster import Cluster
from secondsite.errors import FinalError, RetryableError
from secondsite.recovery import application
from secondsite.recovery.acts.serve import Application
from tests.unit.test_recovery_failover import context


def nobody_there() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/health"


async def test_an_application_that_does_not_answer_is_waited_for_to_the_end() -> None:
    with pytest.raises(RetryableError, match="does not become healthy"):
        await application.healthy(nobody_there(), within_seconds=0.2, or_end=lambda: None)


async def test_nobody_waits_for_an_application_whose_database_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "data", Path("/nonexistent"))
    world = context()
    service = world.spec.service.model_copy(update={"health": nobody_there()})
    act = Application(replace(world, spec=world.spec.model_copy(update={"service": service})))
    began = time.monotonic()
    with pytest.raises(FinalError, match="has ended since it was promoted") as told:
        await act.verify()
    assert told.value.slug == "ended-since" and time.monotonic() - began < 10
