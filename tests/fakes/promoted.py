"""A cluster that may have been promoted: what the promotion's questions are told about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from secondsite.recovery import admit, promoted
from secondsite.recovery.failover import run as failover
from secondsite.recovery.guard import PeerAnswer, Verdict


class FakeDatabase:
    """This site's cluster as the promotion's questions see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recovering, self.marked, self.timeline = True, False, 2
        self.peer: PeerAnswer | None = None
        self.fence: Verdict | None = None
        self.opened = False

        async def control(_: Any) -> Any:
            return SimpleNamespace(generation=self.timeline)

        async def release(*_: Any) -> None:
            self.opened = True

        async def asked(_: Any) -> PeerAnswer | None:
            return self.peer

        async def generation(_: Any) -> int:
            return self.timeline

        monkeypatch.setattr(promoted, "in_recovery", lambda _: self.recovering)
        monkeypatch.setattr(failover, "in_recovery", lambda _: self.recovering)
        monkeypatch.setattr(promoted, "marked_by_us", lambda _: self.marked)
        monkeypatch.setattr(promoted, "read_control", control)
        monkeypatch.setattr(promoted, "_ask", asked)
        monkeypatch.setattr(admit, "release_by_person", release)
        monkeypatch.setattr(admit, "generation", generation)
        monkeypatch.setattr(admit, "fenced", lambda: self.fence)
